#!/usr/bin/env bash
# crane: the whole of its command line that talks to a registry.

# shellcheck source=tests/interop/lib.sh
. "$(dirname "${BASH_SOURCE[0]}")/../lib.sh"
isolate "$0" "$@"
need crane
serve_plain
serve_tls

index="$(oci_layout "$work/layout" v1)"
amd64="$(jq -r '.manifests[0].digest' "$(blob_of "$work/layout" "$index")")"

run crane push --index "$work/layout" "$plain/crane/app:v1"
# crane wraps what the layout's index lists; the wrapped index is what must be equal.
pushed="$(output crane digest "$plain/crane/app:v1")"
equal "digest" "$(manifest_digest crane/app v1)" "$pushed"
equal "inner index" "$(manifest_digest crane/app "$index")" "$index"
ok "push of a layout"

run crane pull --format oci "$plain/crane/app:v1" "$work/back"
for digest in $(blobs_of "$work/layout"); do
    run cmp "$(blob_of "$work/layout" "$digest")" "$(blob_of "$work/back" "$digest")"
done
ok "pull as a layout, every blob with its bytes"

run crane pull --platform linux/amd64 "$plain/crane/app@$index" "$work/image.tar"
run crane push "$work/image.tar" "$plain/crane/tarball:v1"
equal "config through a tarball" "$(output crane config "$plain/crane/tarball:v1" | sha256sum)" \
    "$(output crane config "$plain/crane/app@$amd64" | sha256sum)"
run crane validate --remote "$plain/crane/tarball:v1"
run crane validate --remote "$plain/crane/app:v1"
ok "push and pull of a tarball, validate"

run crane copy "$plain/crane/app@$index" "$plain/crane/copy/deeper:v2"
equal "digest after a copy" "$(manifest_digest crane/copy/deeper v2)" "$index"
ok "copy to another repository"

layer="$(jq -r '.layers[0].digest' "$(blob_of "$work/layout" "$amd64")")"
output crane blob "$plain/crane/app@$layer" > "$work/layer-back"
run cmp "$work/layer-back" "$(blob_of "$work/layout" "$layer")"
output crane export --platform linux/amd64 "$plain/crane/app@$index" - > "$work/flat.tar"
contains "exported files" "$(tar -tf "$work/flat.tar" | sed 's|^\./||')" text-1
ok "blob and export"

mkdir "$work/extra"
echo extra > "$work/extra/file"
tar -C "$work/extra" -cf "$work/extra.tar" .
run crane append --platform linux/amd64 -b "$plain/crane/app@$amd64" -f "$work/extra.tar" -t "$plain/crane/appended:v1"
equal "layers after append" "$(output crane manifest "$plain/crane/appended:v1" | jq '.layers | length')" 3
run crane mutate "$plain/crane/appended:v1" --label a=b -t "$plain/crane/appended:v2"
equal "label" "$(output crane config "$plain/crane/appended:v2" | jq -r .config.Labels.a)" b
run crane index append -m "$plain/crane/appended:v2" -m "$plain/crane/app@$amd64" -t "$plain/crane/appended:index"
equal "children" "$(output crane manifest "$plain/crane/appended:index" | jq '.manifests | length')" 2
ok "append, mutate and index append"

for tag in zeta alpha 1.0; do run crane tag "$plain/crane/app@$index" "$tag"; done
equal "tags" "$(output crane ls "$plain/crane/app" | tr '\n' ' ')" "1.0 alpha v1 zeta "
equal "catalog" "$(output crane catalog "$plain" | tr '\n' ' ')" "crane/app crane/appended crane/copy/deeper crane/tarball "
ok "tag, ls and catalog"

run crane delete "$plain/crane/app:alpha"
equal "tag after delete" "$(status /v2/crane/app/manifests/alpha)" 404
equal "manifest after its tag's delete" "$(manifest_digest crane/app zeta)" "$index"
run crane delete "$plain/crane/copy/deeper@$index"
equal "manifest after delete" "$(status "/v2/crane/copy/deeper/manifests/$index")" 404
equal "tag after its manifest's delete" "$(status /v2/crane/copy/deeper/manifests/v2)" 404
ok "delete of a tag and of a manifest"

refused crane digest "$tls/crane/app:v1"
trust_ca
refused crane digest "$tls/crane/app:v1"
run crane auth login "$tls" -u "$user" -p "$password"
run crane push --index "$work/layout" "$tls/crane/app:v1"
run crane validate --remote "$tls/crane/app:v1"
equal "digest over TLS" "$(output crane digest "$tls/crane/app:v1")" "$pushed"
run crane copy "$plain/crane/app@$index" "$tls/crane/from-plain:v1"
equal "digest of a copy between registries" "$(output crane digest "$tls/crane/from-plain:v1")" "$index"
run crane auth logout "$tls"
refused crane digest "$tls/crane/app:v1"
ok "login, push, validate and copy over TLS"

serve_tokens tokens
refused crane push --index "$work/layout" "$tokened/crane/app:v1"
# It keeps what it is given, and finds out later.
run crane auth login "$tokened" -u "$user" -p wrong
refused crane push --index "$work/layout" "$tokened/crane/app:v1"
run crane auth login "$tokened" -u "$user" -p "$password"
run crane push --index "$work/layout" "$tokened/crane/app:v1"
run crane copy "$tokened/crane/app:v1" "$tokened/public/app:v1"
has_asked "both repositories of a copy" '([.allowed[]?.name] | unique) == ["crane/app", "public/app"]'
equal "digest of a copy" "$(output crane digest "$tokened/public/app:v1")" "$pushed"
equal "catalog" "$(output crane catalog "$tokened" | tr '\n' ' ')" "crane/app public/app "
run crane tag "$tokened/crane/app:v1" gone
run crane delete "$tokened/crane/app:gone"
equal "tags" "$(output crane ls "$tokened/crane/app")" v1
run crane auth logout "$tokened"
run crane validate --remote "$tokened/public/app:v1"
refused crane digest "$tokened/crane/app:v1"
run crane auth login "$tokened" -u "$reader" -p "$password"
run crane validate --remote "$tokened/crane/app:v1"
refused_for_scope crane push --index "$work/layout" "$tokened/crane/never:v1"
refused_for_scope crane copy "$tokened/crane/app:v1" "$tokened/crane/never:v1"
refused_for_scope crane catalog "$tokened"
ok "login, push, copy, delete and catalog by tokens, without a login what is public, and a reader is told why it cannot push"

# All layers at once, since crane cannot send the bytes of one again that is refused before they are taken.
serve_short_tokens 80000
run crane auth login "$tokened" -u "$user" -p "$password"
run crane push "$work/image.tar" "$tokened/crane/app:v1"
renewed
ok "push that outlives its token"
