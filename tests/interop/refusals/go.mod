module refusals

go 1.22
