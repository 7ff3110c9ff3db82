#!/usr/bin/env bash
# regctl: images with their referrers, tags, blobs, manifests, deletion by every way that it knows.

# shellcheck source=tests/interop/lib.sh
. "$(dirname "${BASH_SOURCE[0]}")/../lib.sh"
isolate "$0" "$@"
need regctl
serve_plain
serve_tls

run regctl registry set --tls disabled "$plain"

index="$(oci_layout "$work/layout" v1)"

run regctl image copy "ocidir://$work/layout:v1" "$plain/regctl/app:v1"
equal "digest after a push" "$(manifest_digest regctl/app v1)" "$index"
equal "digest as the client sees it" "$(output regctl manifest head "$plain/regctl/app:v1")" "$index"
run regctl image copy "$plain/regctl/app:v1" "ocidir://$work/back:v1"
for digest in $(blobs_of "$work/layout"); do
    run cmp "$(blob_of "$work/layout" "$digest")" "$(blob_of "$work/back" "$digest")"
done
ok "copy of an index from a layout and back, every blob with its bytes"

echo '{"bom": 1}' > "$work/bom.json"
echo signed > "$work/signature"
run regctl artifact put --artifact-type application/vnd.example.bom -f "$work/bom.json" -m application/json \
    --annotation org.example.what=bom --subject "$plain/regctl/app:v1"
run regctl artifact put --artifact-type application/vnd.example.signature -f "$work/signature" --subject "$plain/regctl/app:v1"
listed="$(output regctl artifact list "$plain/regctl/app:v1" --format '{{json .}}')"
equal "referrers" "$(jq -r '[.descriptors[].artifactType] | sort | join(" ")' <<< "$listed")" \
    "application/vnd.example.bom application/vnd.example.signature"
filtered="$(output regctl artifact list "$plain/regctl/app:v1" --filter-artifact-type application/vnd.example.bom --format '{{json .}}')"
equal "filtered referrers" "$(jq -r '[.descriptors[] | .artifactType + " " + .annotations["org.example.what"]] | join(",")' <<< "$filtered")" \
    "application/vnd.example.bom bom"
# A client that had to fall back would have left a tag.
equal "tags" "$(output regctl tag ls "$plain/regctl/app")" v1
output regctl artifact get --subject "$plain/regctl/app:v1" --filter-artifact-type application/vnd.example.bom > "$work/bom-back.json"
run cmp "$work/bom.json" "$work/bom-back.json"
ok "artifacts with a subject, listed, filtered and fetched by the referrers API"

run regctl image copy --referrers --digest-tags "$plain/regctl/app:v1" "$plain/regctl/copied/app:v1"
equal "digest after a copy" "$(manifest_digest regctl/copied/app v1)" "$index"
equal "referrers after a copy" \
    "$(output regctl artifact list "$plain/regctl/copied/app:v1" --format '{{json .}}' | jq -c '[.descriptors[].digest] | sort')" \
    "$(jq -c '[.descriptors[].digest] | sort' <<< "$listed")"
ok "image copy with referrers"

head -c 5000000 /dev/urandom > "$work/big"
big="$(digest_of "$work/big")"
equal "blob digest" "$(output regctl blob put "$plain/regctl/blobs" < "$work/big")" "$big"
output regctl blob get "$plain/regctl/blobs" "$big" > "$work/big-back"
run cmp "$work/big" "$work/big-back"
run regctl blob head "$plain/regctl/blobs" "$big"
run regctl blob copy "$plain/regctl/blobs" "$plain/regctl/mounted" "$big"
equal "mounted blob" "$(status "/v2/regctl/mounted/blobs/$big")" 200
run regctl blob delete "$plain/regctl/blobs" "$big"
refused regctl blob head "$plain/regctl/blobs" "$big"
equal "deleted blob elsewhere" "$(status "/v2/regctl/mounted/blobs/$big")" 200
ok "blob put, get, head, copy and delete"

for tag in 1.10 1.9 latest; do run regctl image copy "$plain/regctl/app:v1" "$plain/regctl/app:$tag"; done
equal "tags" "$(output regctl tag ls "$plain/regctl/app" | tr '\n' ' ')" "1.10 1.9 latest v1 "
equal "page of tags" "$(output regctl tag ls --limit 2 --last 1.10 "$plain/regctl/app" | tr '\n' ' ')" "1.9 latest "
run regctl tag delete "$plain/regctl/app:latest"
equal "tag after delete" "$(status /v2/regctl/app/manifests/latest)" 404
equal "others after delete" "$(manifest_digest regctl/app v1)" "$index"
contains "repositories" "$(output regctl repo ls "$plain")" regctl/copied/app
ok "tag ls with pages, tag delete, repo ls"

run regctl index create "$plain/regctl/made:v1" --ref "$plain/regctl/app:v1" --platform linux/amd64
made="$(manifest_digest regctl/made v1)"
output regctl manifest get --format raw-body "$plain/regctl/made:v1" > "$work/made.json"
equal "manifest bytes" "$(digest_of "$work/made.json")" "$made"
run regctl manifest put --content-type application/vnd.oci.image.index.v1+json "$plain/regctl/made:again" < "$work/made.json"
equal "manifest put" "$(manifest_digest regctl/made again)" "$made"
run regctl manifest delete "$plain/regctl/made@$made"
equal "manifest after delete" "$(status "/v2/regctl/made/manifests/$made")" 404
ok "index create, manifest get, put and delete"

run regctl image export --platform linux/amd64 "$plain/regctl/app:v1" "$work/export.tar"
run regctl image import "$plain/regctl/imported:v1" "$work/export.tar"
equal "digest through a tarball" "$(manifest_digest regctl/imported v1)" \
    "$(output regctl manifest head --platform linux/amd64 "$plain/regctl/app:v1")"
ok "image export and import"

refused regctl manifest head "$tls/regctl/app:v1"
run regctl registry set --skip-check --cacert "$(cat "$ca")" "$tls"
refused regctl manifest head "$tls/regctl/app:v1"
refused regctl registry login "$tls" -u "$user" -p wrong
run regctl registry login "$tls" -u "$user" --pass-stdin <<< "$password"
run regctl image copy --referrers "$plain/regctl/app:v1" "$tls/regctl/app:v1"
equal "digest over TLS" "$(output regctl manifest head "$tls/regctl/app:v1")" "$index"
equal "referrers over TLS" "$(output regctl artifact list "$tls/regctl/app:v1" --format '{{json .}}' | jq '.descriptors | length')" 2
equal "blob digest over TLS" "$(output regctl blob put "$tls/regctl/blobs" < "$work/big")" "$big"
output regctl blob get "$tls/regctl/blobs" "$big" | run cmp "$work/big" -
run regctl registry logout "$tls"
refused regctl manifest head "$tls/regctl/app:v1"
ok "login, copy with referrers and blobs over TLS"

serve_tokens tokens
trust() { run regctl registry set --skip-check --cacert "$(cat "$ca")" "$tokened"; }
login() { run regctl registry login "$tokened" -u "$1" --pass-stdin <<< "$password"; }
trust
refused regctl image copy "ocidir://$work/layout:v1" "$tokened/regctl/app:v1"
refused regctl registry login "$tokened" -u "$user" -p wrong
login "$user"
run regctl image copy "ocidir://$work/layout:v1" "$tokened/regctl/app:v1"
run regctl image copy "$tokened/regctl/app:v1" "$tokened/public/app:v1"
has_asked "both repositories of a mount" '([.allowed[]?.name] | unique) == ["public/app", "regctl/app"]'
contains "repositories" "$(output regctl repo ls "$tokened")" regctl/app
run regctl tag delete "$tokened/regctl/app:v1"
run regctl image copy "ocidir://$work/layout:v1" "$tokened/regctl/app:v1"
run regctl registry logout "$tokened"
equal "digest without a login" "$(output regctl manifest head "$tokened/public/app:v1")" "$index"
refused regctl manifest head "$tokened/regctl/app:v1"
login "$reader"
run regctl image copy "$tokened/regctl/app:v1" "ocidir://$work/back-tokens:v1"
same_tree "layout pulled by a token" "$work/back-tokens/blobs" "$work/layout/blobs"
refused regctl image copy "ocidir://$work/layout:v1" "$tokened/regctl/never:v1"
refused regctl repo ls "$tokened"
ok "login, push, mount, delete and pull by tokens, without a login what is public"
