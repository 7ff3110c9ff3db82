#!/usr/bin/env bash
# podman: builds, pushes in both formats, pulls, runs, manifest lists, search.

# shellcheck source=tests/interop/lib.sh
. "$(dirname "${BASH_SOURCE[0]}")/../lib.sh"
isolate "$0" "$@"
need podman runc
serve_plain "$quotas"
serve_tls

mkdir -p "$HOME/.config/containers" "$work/certs"
echo '{"default": [{"type": "insecureAcceptAnything"}]}' > "$HOME/.config/containers/policy.json"
# runc and cgroupfs run without systemd, and under either version of cgroups.
podman=(
    podman --root "$work/podman/root" --runroot "$work/podman/run" --tmpdir "$work/podman/tmp"
    --cgroup-manager cgroupfs --runtime runc --events-backend none --storage-driver overlay
)
pod() { run "${podman[@]}" "$@"; }
out() { output "${podman[@]}" "$@"; }
in_image() { out run --rm --network none "$1" cat "$2"; }
id_of() { out image inspect --format '{{.Id}}' "$1"; }
forget_everything() {
    pod image rm --all --force
    equal "images left" "$(out image ls -aq | wc -l)" 0
}

rootfs "$work/rootfs"
tar -C "$work/rootfs" -cf "$work/rootfs.tar" .
pod import -c 'ENTRYPOINT ["/bin/busybox"]' "$work/rootfs.tar" localhost/base:v1
mkdir "$work/context"
echo second > "$work/context/second"
printf 'FROM localhost/base:v1\nCOPY second /etc/second\n' > "$work/context/Containerfile"
pod build --isolation chroot -t localhost/app:v1 "$work/context"
id="$(id_of localhost/app:v1)"

pod push --tls-verify=false --digestfile "$work/digest" localhost/app:v1 "$plain/podman/app:v1"
equal "digest after a push" "$(manifest_digest podman/app v1)" "$(cat "$work/digest")"
equal "media type" "$(manifest podman/app v1 | jq -r .mediaType)" application/vnd.oci.image.manifest.v1+json
equal "config" "$(manifest podman/app v1 | jq -r .config.digest)" "sha256:$id"
pod push --tls-verify=false --format v2s2 localhost/app:v1 "$plain/podman/docker:v1"
equal "media type" "$(manifest podman/docker v1 | jq -r .mediaType)" application/vnd.docker.distribution.manifest.v2+json
# Another image, whose layer the client has not seen compressed otherwise.
rootfs "$work/rootfs-zstd"
tar -C "$work/rootfs-zstd" -cf "$work/rootfs-zstd.tar" .
pod import -c 'ENTRYPOINT ["/bin/busybox"]' "$work/rootfs-zstd.tar" localhost/zstd:v1
pod push --tls-verify=false --compression-format zstd localhost/zstd:v1 "$plain/podman/zstd:v1"
equal "layer type" "$(manifest podman/zstd v1 | jq -r '.layers[0].mediaType')" application/vnd.oci.image.layer.v1.tar+zstd
ok "push of a built image as OCI, as Docker schema 2, and with zstd"

for prefix in full small untagged; do
    refused_for_quota "$prefix/" "${podman[@]}" push --tls-verify=false localhost/app:v1 "$plain/$prefix/app:v1"
done
ok "a push that exceeds a quota is told why"

for name in app docker zstd; do
    forget_everything
    pod pull --tls-verify=false "$plain/podman/$name:v1"
    equal "first layer's file" "$(in_image "$plain/podman/$name:v1" /etc/greeting)" "hello from podman"
    [ "$name" = zstd ] || equal "second layer's file" "$(in_image "$plain/podman/$name:v1" /etc/second)" second
done
forget_everything
pod pull --tls-verify=false "$plain/podman/app@$(cat "$work/digest")"
equal "image pulled by digest" "$(id_of "$plain/podman/app@$(cat "$work/digest")")" "$id"
ok "pull by tag and digest, and containers from it"

for architecture in amd64 arm64; do
    rootfs "$work/rootfs-$architecture" "hello from $architecture"
    tar -C "$work/rootfs-$architecture" -cf "$work/$architecture.tar" .
    pod import --arch "$architecture" -c 'ENTRYPOINT ["/bin/busybox"]' "$work/$architecture.tar" "localhost/multi:$architecture"
done
pod manifest create localhost/multi:list
pod manifest add localhost/multi:list containers-storage:localhost/multi:amd64
pod manifest add localhost/multi:list containers-storage:localhost/multi:arm64
pod manifest push --all --tls-verify=false --digestfile "$work/list-digest" localhost/multi:list "docker://$plain/podman/multi:v1"
equal "digest of the list" "$(manifest_digest podman/multi v1)" "$(cat "$work/list-digest")"
forget_everything
pod pull --tls-verify=false "$plain/podman/multi:v1"
equal "image of this machine's architecture" "$(in_image "$plain/podman/multi:v1" /etc/greeting)" "hello from amd64"
pod pull --tls-verify=false --arch arm64 "$plain/podman/multi:v1"
equal "architecture asked for" "$(out image inspect --format '{{.Architecture}}' "$plain/podman/multi:v1")" arm64
ok "manifest list, pushed and pulled by platform"

equal "tags by search" "$(out search --tls-verify=false --list-tags --format json "$plain/podman/app" | jq -c '.[].Tags')" '["v1"]'
equal "repositories by search" "$(out search --tls-verify=false --format json "$plain/zstd" | jq -c '[.[].Name]')" "[\"$plain/podman/zstd\"]"
ok "search of tags and of the catalog"

pod pull --tls-verify=false "$plain/podman/app:v1"
refused "${podman[@]}" push --cert-dir "$work/certs" "$plain/podman/app:v1" "$tls/podman/app:v1"
cp "$ca" "$work/certs/ca.crt"
refused "${podman[@]}" push --cert-dir "$work/certs" "$plain/podman/app:v1" "$tls/podman/app:v1"
refused "${podman[@]}" login --cert-dir "$work/certs" -u "$user" -p wrong "$tls"
pod login --cert-dir "$work/certs" -u "$user" --password-stdin "$tls" <<< "$password"
pod push --cert-dir "$work/certs" "$plain/podman/app:v1" "$tls/podman/app:v1"
forget_everything
pod pull --cert-dir "$work/certs" "$tls/podman/app:v1"
equal "image pulled over TLS" "$(id_of "$tls/podman/app:v1")" "$id"
equal "file pulled over TLS" "$(in_image "$tls/podman/app:v1" /etc/second)" second
pod logout "$tls"
refused "${podman[@]}" pull --cert-dir "$work/certs" "$tls/podman/app:v1"
ok "login, push and pull over TLS"

serve_tokens tokens
image="$tls/podman/app:v1"
login() { pod login --cert-dir "$work/certs" -u "$1" --password-stdin "$tokened" <<< "$password"; }
pull() { pod pull --cert-dir "$work/certs" "$tokened/$1"; }
push() { pod push --cert-dir "$work/certs" "$image" "$tokened/$1"; }
refused "${podman[@]}" push --cert-dir "$work/certs" "$image" "$tokened/podman/app:v1"
refused "${podman[@]}" login --cert-dir "$work/certs" -u "$user" -p wrong "$tokened"
login "$user"
push podman/app:v1
push podman/mounted:v1
has_asked "both repositories of a mount" '([.allowed[]?.name] | unique) == ["podman/app", "podman/mounted"]'
push public/app:v1
pod logout "$tokened"
forget_everything
pull public/app:v1
refused "${podman[@]}" pull --cert-dir "$work/certs" "$tokened/podman/app:v1"
login "$reader"
pull podman/app:v1
equal "image pulled by a token" "$(id_of "$tokened/podman/app:v1")" "$id"
refused_for_scope "${podman[@]}" push --cert-dir "$work/certs" "$tokened/podman/app:v1" "$tokened/podman/never:v1"
ok "login, push, mount and pull by tokens, without a login what is public, and a reader is told why it cannot push"
