#!/usr/bin/env bash
# Go's encoding/json, with which most clients read manifests: what the tests of crates/registry-types say of it is what it does.

# shellcheck source=tests/interop/lib.sh
. "$(dirname "${BASH_SOURCE[0]}")/../lib.sh"
kept="$repo/crates/registry-types/src/manifest/tests"
client=json
need go
folder="$(mktemp -d)"
trap 'rm -rf --one-file-system "$folder"' EXIT
(cd "$here/json" && GOFLAGS='' CGO_ENABLED=0 go build -o "$folder/json" main.go)

"$folder/json" folds | cmp - "$kept/go_folds.txt"
ok "names that are read as one"
"$folder/json" documents | cmp - "$kept/go_documents.txt"
ok "descriptors that are read as ours are, or refused"
