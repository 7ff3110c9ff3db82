#!/usr/bin/env bash
# skopeo: copies between layouts, folders and repositories, inspection, listing, deletion.

# shellcheck source=tests/interop/lib.sh
. "$(dirname "${BASH_SOURCE[0]}")/../lib.sh"
isolate "$0" "$@"
need skopeo
serve_plain "$quotas"
serve_tls

# Policy and registries of the machine have no say.
mkdir -p "$HOME/.config/containers"
echo '{"default": [{"type": "insecureAcceptAnything"}]}' > "$HOME/.config/containers/policy.json"
sk() { run skopeo "$@"; }

index="$(oci_layout "$work/layout" v1)"

sk copy --all --preserve-digests --dest-tls-verify=false "oci:$work/layout:v1" "docker://$plain/skopeo/app:v1"
equal "digest after a push" "$(manifest_digest skopeo/app v1)" "$index"
ok "copy of an index with two platforms from a layout"

sk copy --all --preserve-digests --src-tls-verify=false "docker://$plain/skopeo/app:v1" "oci:$work/back:v1"
same_tree "layout after a pull" "$work/back/blobs" "$work/layout/blobs"
ok "copy back, every blob with its bytes"

equal "raw manifest" "$(output skopeo inspect --raw --tls-verify=false "docker://$plain/skopeo/app@$index" | sha256sum | cut -d' ' -f1)" \
    "${index#sha256:}"
platform="$(output skopeo --override-arch arm64 --override-os linux inspect --tls-verify=false "docker://$plain/skopeo/app:v1")"
equal "architecture" "$(jq -r .Architecture <<< "$platform")" arm64
equal "layers" "$(jq -r '.Layers | length' <<< "$platform")" 2
ok "inspect, raw and by platform"

sk copy --all --preserve-digests --src-tls-verify=false --dest-tls-verify=false \
    "docker://$plain/skopeo/app:v1" "docker://$plain/skopeo/other/place:copied"
equal "digest after a copy" "$(manifest_digest skopeo/other/place copied)" "$index"
ok "copy from repository to repository"

# Another manifest format is another manifest: skopeo must be able to read back what it wrote.
sk copy --format v2s2 --src-tls-verify=false --dest-tls-verify=false "docker://$plain/skopeo/app:v1" "docker://$plain/skopeo/app:docker"
equal "media type" "$(manifest skopeo/app docker | jq -r .mediaType)" application/vnd.docker.distribution.manifest.v2+json
sk copy --src-tls-verify=false "docker://$plain/skopeo/app:docker" "dir:$work/docker"
equal "manifest from a folder" "$(digest_of "$work/docker/manifest.json")" "$(manifest_digest skopeo/app docker)"
ok "copy as a Docker schema 2 image"

for prefix in full small untagged; do
    refused_for_quota "$prefix/" skopeo copy --all --dest-tls-verify=false "oci:$work/layout:v1" "docker://$plain/$prefix/app:v1"
done
ok "a copy that exceeds a quota is told why"

for tag in b a c; do
    sk copy --all --src-tls-verify=false --dest-tls-verify=false "docker://$plain/skopeo/app:v1" "docker://$plain/skopeo/app:$tag"
done
equal "tags" "$(output skopeo list-tags --tls-verify=false "docker://$plain/skopeo/app" | jq -c .Tags)" '["a","b","c","docker","v1"]'
ok "list-tags"

sk sync --all --scoped --src docker --dest dir --src-tls-verify=false "$plain/skopeo/app" "$work/synced"
equal "folders synced" "$(find "$work/synced" -name manifest.json | wc -l)" 5
sk sync --all --src dir --dest docker --dest-tls-verify=false "$work/synced/$plain/skopeo" "$plain/restored"
equal "digest after sync" "$(manifest_digest restored/app v1)" "$index"
ok "sync of a whole repository to a folder and back"

sk copy --src-tls-verify=false --dest-tls-verify=false "docker://$plain/skopeo/app:docker" "docker://$plain/skopeo/gone:v1"
gone="$(manifest_digest skopeo/gone v1)"
sk delete --tls-verify=false "docker://$plain/skopeo/gone:v1"
equal "tag after delete" "$(status /v2/skopeo/gone/manifests/v1)" 404
equal "manifest after delete" "$(status "/v2/skopeo/gone/manifests/$gone")" 404
equal "others after delete" "$(manifest_digest skopeo/app docker)" "$gone"
ok "delete"

mkdir "$work/certs"
refused skopeo inspect --cert-dir "$work/certs" "docker://$tls/skopeo/app:v1"
cp "$ca" "$work/certs/ca.crt"
refused skopeo login --cert-dir "$work/certs" -u "$user" -p wrong "$tls"
run skopeo login --cert-dir "$work/certs" -u "$user" --password-stdin "$tls" <<< "$password"
sk copy --all --preserve-digests --dest-cert-dir "$work/certs" "oci:$work/layout:v1" "docker://$tls/skopeo/app:v1"
sk copy --all --preserve-digests --src-cert-dir "$work/certs" "docker://$tls/skopeo/app:v1" "oci:$work/back-tls:v1"
same_tree "layout after a pull over TLS" "$work/back-tls/blobs" "$work/layout/blobs"
run skopeo logout "$tls"
refused skopeo inspect --cert-dir "$work/certs" "docker://$tls/skopeo/app:v1"
ok "login, push and pull over TLS"

serve_tokens tokens
copy_to=(skopeo copy --all --preserve-digests --dest-cert-dir "$work/certs" "oci:$work/layout:v1")
login() { run skopeo login --cert-dir "$work/certs" -u "$1" --password-stdin "$tokened" <<< "$password"; }
refused "${copy_to[@]}" "docker://$tokened/skopeo/app:v1"
refused skopeo login --cert-dir "$work/certs" -u "$user" -p wrong "$tokened"
login "$user"
run "${copy_to[@]}" "docker://$tokened/skopeo/app:v1"
sk copy --all --preserve-digests --src-cert-dir "$work/certs" --dest-cert-dir "$work/certs" \
    "docker://$tokened/skopeo/app:v1" "docker://$tokened/skopeo/copied:v1"
run "${copy_to[@]}" "docker://$tokened/public/app:v1"
has_asked "both repositories of a mount" '([.allowed[]?.name] | unique) == ["skopeo/app", "skopeo/copied"]'
sk delete --cert-dir "$work/certs" "docker://$tokened/skopeo/copied:v1"
has_asked "everything, to delete" 'any(.asked[]?.actions[]; . == "*")'
run skopeo logout "$tokened"
sk copy --all --preserve-digests --src-cert-dir "$work/certs" "docker://$tokened/public/app:v1" "oci:$work/back-public:v1"
same_tree "layout pulled without a login" "$work/back-public/blobs" "$work/layout/blobs"
refused skopeo inspect --cert-dir "$work/certs" "docker://$tokened/skopeo/app:v1"
login "$reader"
sk copy --all --preserve-digests --src-cert-dir "$work/certs" "docker://$tokened/skopeo/app:v1" "oci:$work/back-tokens:v1"
same_tree "layout pulled by a token" "$work/back-tokens/blobs" "$work/layout/blobs"
refused_for_scope "${copy_to[@]}" "docker://$tokened/skopeo/never:v1"
refused skopeo delete --cert-dir "$work/certs" "docker://$tokened/skopeo/app:v1"
ok "login, push, mount, pull and delete by tokens, without a login what is public, and a reader is told why it cannot push"
