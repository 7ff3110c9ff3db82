mod in_file {
    use super::super::backend::InFile;

    crate::contract::contract_tests!(InFile);
}

mod in_memory {
    use super::super::backend::InMemory;

    crate::contract::contract_tests!(InMemory);
}
