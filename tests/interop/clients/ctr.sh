#!/usr/bin/env bash
# containerd: its ctr pushes and pulls through the daemon's transfer service and by itself, over plain HTTP and by a hosts folder.

# shellcheck source=tests/interop/lib.sh
. "$(dirname "${BASH_SOURCE[0]}")/../lib.sh"
isolate "$0" "$@"
need ctr "$tools/containerd2/containerd"
serve_plain "$quotas"
serve_tls

mkdir -p "$work/containerd"
cat > "$work/containerd.toml" << TOML
version = 3
root = "$work/containerd/root"
state = "$work/containerd/state"
disabled_plugins = ["io.containerd.grpc.v1.cri", "io.containerd.nri.v1.nri", "io.containerd.internal.v1.opt"]
[grpc]
address = "$work/containerd/sock"
[ttrpc]
address = "$work/containerd/sock.ttrpc"
TOML
"$tools/containerd2/containerd" --config "$work/containerd.toml" > "$work/containerd.log" 2>&1 &
daemon=$!
export CONTAINERD_ADDRESS="$work/containerd/sock" CONTAINERD_NAMESPACE=interop
answers_or_ended() { ! kill -0 "$daemon" || ctr version; }
wait_for containerd answers_or_ended
kill -0 "$daemon" || die "containerd ended at its start"

# forget_everything: neither an image nor a byte of content is left.
forget_everything() {
    local image
    for image in $(output ctr images ls -q); do run ctr images rm --sync "$image"; done
    output ctr content ls -q | while read -r digest; do run ctr content rm "$digest"; done
    equal "content left" "$(output ctr content ls -q | wc -l)" 0
}

# has_all_of LAYOUT: every blob of it is in containerd, with its bytes.
has_all_of() {
    local digest
    for digest in $(blobs_of "$1"); do
        equal "content" "sha256:$(output ctr content get "$digest" | sha256sum | cut -d' ' -f1)" "$digest"
    done
}

index="$(oci_layout "$work/layout" v1)"
# import NAME: the layout under that name, which is what the annotation says.
import() {
    jq --arg name "$1" '.manifests[0].annotations["io.containerd.image.name"] = $name' "$work/layout/index.json" > "$work/named.json"
    cp "$work/named.json" "$work/layout/index.json"
    tar -C "$work/layout" -cf "$work/layout.tar" .
    run ctr images import --all-platforms --no-unpack "$work/layout.tar"
    equal "imported" "$(output ctr images ls "name==$1" | awk 'NR == 2 { print $3 }')" "$index"
}

import "$plain/ctr/app:v1"
run ctr images push --plain-http "$plain/ctr/app:v1"
equal "digest after a push" "$(manifest_digest ctr/app v1)" "$index"
for prefix in full small untagged; do
    run ctr images tag "$plain/ctr/app:v1" "$plain/$prefix/app:v1"
    refused_for_quota "$prefix/" ctr images push --plain-http "$plain/$prefix/app:v1"
done
ok "a push that exceeds a quota is told why"
forget_everything
run ctr images pull --plain-http --all-platforms "$plain/ctr/app:v1"
equal "digest after a pull" "$(output ctr images ls "name==$plain/ctr/app:v1" | awk 'NR == 2 { print $3 }')" "$index"
has_all_of "$work/layout"
ok "push and pull through the transfer service"

run ctr images tag "$plain/ctr/app:v1" "$plain/ctr/local:v1"
run ctr images push --local --plain-http "$plain/ctr/local:v1"
equal "digest after a push" "$(manifest_digest ctr/local v1)" "$index"
forget_everything
run ctr images pull --local --plain-http --all-platforms "$plain/ctr/local:v1"
has_all_of "$work/layout"
ok "push and pull by the client itself"

forget_everything
run ctr content fetch --plain-http --all-platforms "$plain/ctr/app@$index"
has_all_of "$work/layout"
manifest="$(jq -r '.manifests[0].digest' "$(blob_of "$work/layout" "$index")")"
layer="$(jq -r '.layers[0].digest' "$(blob_of "$work/layout" "$manifest")")"
fetched="$(output ctr content fetch-blob --plain-http "$plain/ctr/app@$index" "$layer" | sha256sum | cut -d' ' -f1)"
equal "fetched blob" "sha256:$fetched" "$layer"
refused ctr images pull --plain-http "$plain/ctr/never:v1"
ok "fetch by digest"

# A hosts folder, as containerd's own clients are configured. The registry is a mirror of a name that does not exist.
mirror() {
    mkdir -p "$work/hosts.d/upstream.test"
    cat > "$work/hosts.d/upstream.test/hosts.toml" << TOML
server = "http://$plain"
[host."http://$plain"]
capabilities = ["pull", "resolve"]
TOML
}
mirror
forget_everything
run ctr images pull --hosts-dir "$work/hosts.d" --all-platforms "upstream.test/ctr/app:v1"
has_all_of "$work/layout"
ok "pull as a mirror of another registry"

forget_everything
import "$tls/ctr/app:v1"
refused ctr images push --user "$user:$password" "$tls/ctr/app:v1"
# trust HOST: its certificate is taken.
trust() {
    mkdir -p "$work/hosts.d/$1"
    printf 'server = "https://%s"\n[host."https://%s"]\nca = "%s"\n' "$1" "$1" "$ca" > "$work/hosts.d/$1/hosts.toml"
}
trust "$tls"
refused ctr images push --hosts-dir "$work/hosts.d" "$tls/ctr/app:v1"
refused ctr images push --hosts-dir "$work/hosts.d" --user "$user:wrong" "$tls/ctr/app:v1"
run ctr images push --hosts-dir "$work/hosts.d" --user "$user:$password" "$tls/ctr/app:v1"
forget_everything
run ctr images pull --hosts-dir "$work/hosts.d" --user "$user:$password" --all-platforms "$tls/ctr/app:v1"
has_all_of "$work/layout"
ok "push and pull over TLS with a login, the authority from a hosts folder"

serve_tokens tokens
trust "$tokened"
images() { run ctr images "$1" --hosts-dir "$work/hosts.d" "${@:2}"; }
run ctr images tag "$tls/ctr/app:v1" "$tokened/ctr/app:v1"
run ctr images tag "$tls/ctr/app:v1" "$tokened/public/app:v1"
run ctr images tag "$tls/ctr/app:v1" "$tokened/ctr/never:v1"
refused ctr images push --hosts-dir "$work/hosts.d" "$tokened/ctr/app:v1"
refused ctr images push --hosts-dir "$work/hosts.d" --user "$user:wrong" "$tokened/ctr/app:v1"
images push --user "$user:$password" "$tokened/ctr/app:v1"
images push --user "$user:$password" "$tokened/public/app:v1"
refused_for_scope ctr images push --hosts-dir "$work/hosts.d" --user "$reader:$password" "$tokened/ctr/never:v1"
forget_everything
images pull --all-platforms "$tokened/public/app:v1"
has_all_of "$work/layout"
forget_everything
refused ctr images pull --hosts-dir "$work/hosts.d" "$tokened/ctr/app:v1"
images pull --user "$reader:$password" --all-platforms "$tokened/ctr/app:v1"
has_all_of "$work/layout"
ok "push and pull by tokens, without a login what is public, and a reader is told why it cannot push"

image="$tokened/ctr/app:v1"
serve_short_tokens 80000
trust "$tokened"
run ctr images tag "$image" "$tokened/ctr/app:v1"
images push --user "$user:$password" "$tokened/ctr/app:v1"
renewed
ok "push that outlives its token"

run kill "$daemon"
wait "$daemon" 2>> "$log" || true
