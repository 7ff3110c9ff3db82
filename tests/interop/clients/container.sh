#!/usr/bin/env bash
# The image of the registry itself: built, run as root on a volume that root owns and as somebody else, pushed to and pulled from.
#
# The engine has no bridge, so the container shares the host's network.

# shellcheck source=tests/interop/lib.sh
. "$(dirname "${BASH_SOURCE[0]}")/../lib.sh"
isolate "$0" "$@"
need docker dockerd containerd runc
start_dockerd --storage-driver overlay2 --oom-score-adjust=0

mkdir "$work/context"
cp "$REGISTRY_BIN" "$work/context/registry"
# `deploy/binary` puts it beside the server.
cp "$REGISTRY_BIN-gc" "$work/context/registry-gc"
cp "$repo/deploy/Dockerfile" "$repo/deploy/config.yml" /etc/ssl/certs/ca-certificates.crt "$work/context"
run docker build --network none -t registry:test "$work/context"
size="$(output docker image inspect -f '{{.Size}}' registry:test)"
# Two programs with SQLite, PostgreSQL and three object stores each; nobody is to double that unseen.
[ "$size" -lt 55000000 ] || die "the image has $size bytes"
ok "built from the release binary"

# Refused as long as nobody says how it is protected.
refused docker run --rm --network host registry:test
grep -q REGISTRY_HTTP_INSECURE=true "$log" || die "does not name REGISTRY_HTTP_INSECURE"
grep -q REGISTRY_AUTH=none "$log" || die "does not name REGISTRY_AUTH"
ok "without a word about protection it does not start, and says what to say"

# start_container NAME [DOCKER OPTION...]: sets $host to where it listens.
start_container() {
    local name=$1
    shift
    run docker run -d --name "$name" --network host -e REGISTRY_HTTP_ADDR=127.0.0.1:0 "$@" registry:test
    wait_for "$name" container_listens "$name"
    host="$(docker logs "$name" 2>&1 | sed -nE 's/.*listening on (127\.0\.0\.1:[0-9]+).*/\1/p' | tail -n 1)"
    [ -n "$host" ] || die "$name did not start: $(docker logs "$name" 2>&1 | tail -n 5)"
}

container_listens() {
    docker logs "$1" 2>&1 | grep -q 'listening on' || [ "$(docker inspect -f '{{.State.Running}}' "$1")" != true ]
}

# push_and_pull NAME: an image goes there and comes back.
push_and_pull() {
    run docker tag registry:test "$host/$1:v1"
    run docker push "$host/$1:v1"
    run docker rmi "$host/$1:v1"
    run docker pull "$host/$1:v1"
    equal "image" "$(output docker image inspect -f '{{.Id}}' registry:test)" \
        "$(output docker image inspect -f '{{.Id}}' "$host/$1:v1")"
}

# As root, on a volume that root owns: the folder is taken over, and the process is somebody else.
mkdir -m 755 "$work/volume"
start_container as-root -v "$work/volume:/var/lib/registry"
push_and_pull as-root
equal "owner of the data" 65532 "$(stat -c %u "$work/volume/metadata.sqlite")"
equal "user of the process" 65532 "$(stat -c %u "/proc/$(docker inspect -f '{{.State.Pid}}' as-root)")"
run docker restart as-root
wait_for as-root container_listens as-root
ok "as root on root's volume: takes it over, drops its privileges, serves"

run docker exec --user 65532 as-root registry-gc --config /etc/distribution/config.yml
ok "registry-gc collects beside the server"

# As somebody else, read-only but for the volume.
mkdir -m 777 "$work/other"
start_container as-other --user 1234:1234 --read-only --cap-drop ALL -v "$work/other:/var/lib/registry"
push_and_pull as-other
equal "owner of the data" 1234 "$(stat -c %u "$work/other/metadata.sqlite")"
ok "as somebody else: just serves"

# Told to stop, it stops by itself.
run docker stop -t 20 as-other
equal "exit status" 0 "$(output docker inspect -f '{{.State.ExitCode}}' as-other)"
ok "stops when told to"
