#!/usr/bin/env bash
# Clients that go by the clock alone: the older docker daemon, podman, skopeo and regctl believe that a token is good for as long as
# they were told, a minute at least, and end if it is refused before. So a push that takes longer than the minute must find another.
#
# It takes that long, so it is not among the clients that `run` tries unasked.

# shellcheck source=tests/interop/lib.sh
. "$(dirname "${BASH_SOURCE[0]}")/../lib.sh"
isolate "$0" "$@"
need docker dockerd containerd runc podman skopeo regctl
make_credentials
# The registry refuses a token two seconds after clients do not believe in it any more.
http2_disabled=true serve_tokens short-tokens 60 2
serve_slowly 100000
start_dockerd --storage-driver overlay2 --oom-score-adjust=0

mkdir -p "$HOME/.config/containers" "$work/certs" "/etc/docker/certs.d/$tokened"
echo '{"default": [{"type": "insecureAcceptAnything"}]}' > "$HOME/.config/containers/policy.json"
export REGISTRY_AUTH_FILE="$work/auth.json"
cp "$ca" "$work/certs/ca.crt"
cp "$ca" "/etc/docker/certs.d/$tokened/ca.crt"

# One layer that takes 65 s, and cannot be made smaller.
head -c 6500000 /dev/urandom > "$work/random"
tar -C "$work" -cf "$work/image.tar" random
run docker import "$work/image.tar" "$tokened/expiry/docker:v1"
run docker save -o "$work/saved.tar" "$tokened/expiry/docker:v1"
podman=(
    podman --root "$work/podman/root" --runroot "$work/podman/run" --tmpdir "$work/podman/tmp"
    --cgroup-manager cgroupfs --runtime runc --events-backend none --storage-driver overlay
)
run "${podman[@]}" load -i "$work/saved.tar"
# Before docker, whose refresh token podman would find.
run "${podman[@]}" login --cert-dir "$work/certs" -u "$user" --password-stdin "$tokened" <<< "$password"
run docker login -u "$user" --password-stdin "$tokened" <<< "$password"
run regctl registry set --skip-check --cacert "$(cat "$ca")" "$tokened"
run regctl registry login "$tokened" -u "$user" --pass-stdin <<< "$password"

declare -A pushes
push() {
    local name=$1
    shift
    run "$@" &
    pushes[$name]=$!
}
push docker docker push "$tokened/expiry/docker:v1"
push podman "${podman[@]}" push --cert-dir "$work/certs" "$tokened/expiry/docker:v1" "$tokened/expiry/podman:v1"
push skopeo skopeo copy --dest-cert-dir "$work/certs" "docker-archive:$work/saved.tar" "docker://$tokened/expiry/skopeo:v1"
push regctl regctl image import "$tokened/expiry/regctl:v1" "$work/saved.tar"
for name in "${!pushes[@]}"; do
    wait "${pushes[$name]}" || die "the push by $name failed"
    tokens="$(asked "any(.allowed[]?; .name == \"expiry/$name\" and (.actions | index(\"push\")))")"
    [ "$tokens" -gt 1 ] || die "$name had one token only"
    ok "push by $name that outlives its token"
done

run kill "$daemon"
wait "$daemon" 2>> "$log" || true
