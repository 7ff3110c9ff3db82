#!/usr/bin/env bash
# buildah: an image from nothing, committed straight into a registry, built on, pulled, listed by platform.

# shellcheck source=tests/interop/lib.sh
. "$(dirname "${BASH_SOURCE[0]}")/../lib.sh"
isolate "$0" "$@"
need buildah
serve_plain
serve_tls

mkdir -p "$HOME/.config/containers" "$work/certs"
echo '{"default": [{"type": "insecureAcceptAnything"}]}' > "$HOME/.config/containers/policy.json"
export BUILDAH_ISOLATION=chroot
buildah=(buildah --root "$work/buildah/root" --runroot "$work/buildah/run" --storage-driver overlay)
bud() { run "${buildah[@]}" "$@"; }
out() { output "${buildah[@]}" "$@"; }
forget_everything() {
    bud rm --all
    bud rmi --all --force
    equal "images left" "$(out images -aq | wc -l)" 0
}
# in_container CONTAINER FILE: what the file holds.
in_container() { cat "$(out mount "$1")$2"; }
# in_image IMAGE FILE: the same in a container made from that image, which is pulled if it is not here.
in_image() { in_container "$(out from --tls-verify=false "$1")" "$2"; }

rootfs "$work/rootfs"
container="$(out from scratch)"
bud copy "$container" "$work/rootfs" /
bud config --entrypoint '["/bin/busybox"]' --label from=interop "$container"
bud run "$container" /bin/busybox cp /etc/greeting /etc/copy
equal "made while building" "$(in_container "$container" /etc/copy)" "hello from buildah"
bud commit "$container" localhost/base:v1
bud push --tls-verify=false --digestfile "$work/digest" localhost/base:v1 "docker://$plain/buildah/base:v1"
equal "digest after a push" "$(manifest_digest buildah/base v1)" "$(cat "$work/digest")"
ok "push of an image from scratch"

bud commit --tls-verify=false "$container" "docker://$plain/buildah/committed:v1"
equal "same layers" "$(manifest buildah/committed v1 | jq -c '[.layers[].digest]')" "$(manifest buildah/base v1 | jq -c '[.layers[].digest]')"
ok "commit straight into the registry"

forget_everything
equal "file after a pull" "$(in_image "$plain/buildah/base:v1" /etc/greeting)" "hello from buildah"
mkdir "$work/context"
echo second > "$work/context/second"
printf 'FROM %s/buildah/base:v1\nCOPY second /etc/second\nRUN ["/bin/busybox", "cp", "/etc/second", "/etc/third"]\n' "$plain" > "$work/context/Containerfile"
bud build --tls-verify=false --layers -t localhost/derived:v1 "$work/context"
bud push --tls-verify=false --format docker localhost/derived:v1 "docker://$plain/buildah/derived:v1"
equal "media type" "$(manifest buildah/derived v1 | jq -r .mediaType)" application/vnd.docker.distribution.manifest.v2+json
forget_everything
bud pull --tls-verify=false "$plain/buildah/derived:v1"
equal "file made while building" "$(in_image "$plain/buildah/derived:v1" /etc/third)" second
ok "build on a pulled image, push as Docker schema 2, pull"

bud manifest create localhost/list:v1
for architecture in amd64 arm64; do
    rootfs "$work/rootfs-$architecture" "hello from $architecture"
    container="$(out from --arch "$architecture" scratch)"
    bud copy "$container" "$work/rootfs-$architecture" /
    bud config --arch "$architecture" "$container"
    bud commit --manifest localhost/list:v1 "$container"
done
bud manifest push --all --tls-verify=false --digestfile "$work/list-digest" localhost/list:v1 "docker://$plain/buildah/multi:v1"
equal "digest of the list" "$(manifest_digest buildah/multi v1)" "$(cat "$work/list-digest")"
equal "architectures" "$(manifest buildah/multi v1 | jq -c '[.manifests[].platform.architecture] | sort')" '["amd64","arm64"]'
forget_everything
equal "image of this machine's architecture" "$(in_image "$plain/buildah/multi:v1" /etc/greeting)" "hello from amd64"
ok "manifest list, pushed and pulled by platform"

refused "${buildah[@]}" pull --cert-dir "$work/certs" "$tls/buildah/multi:v1"
cp "$ca" "$work/certs/ca.crt"
bud login --cert-dir "$work/certs" -u "$user" --password-stdin "$tls" <<< "$password"
bud push --cert-dir "$work/certs" "$plain/buildah/multi:v1" "docker://$tls/buildah/app:v1"
forget_everything
bud pull --cert-dir "$work/certs" "$tls/buildah/app:v1"
equal "file pulled over TLS" "$(in_image "$tls/buildah/app:v1" /etc/greeting)" "hello from amd64"
bud logout "$tls"
refused "${buildah[@]}" pull --policy always --cert-dir "$work/certs" "$tls/buildah/app:v1"
ok "login, push and pull over TLS"
