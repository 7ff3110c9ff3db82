#!/usr/bin/env bash
# The image of the registry itself: built both ways, and run as people run the Go registry's: the commands of its documentation
# word for word, its volumes, its configuration file's places, keys that only root may read, cron lines, health checks.
#
# The engine has no bridge, so a container has no port of its own: `docker` here is the client with `--network host` added to what
# starts one. Its ports clash with no others, since this network is the script's own.

# shellcheck source=tests/interop/lib.sh
. "$(dirname "${BASH_SOURCE[0]}")/../lib.sh"
isolate "$0" "$@"
need docker dockerd containerd runc curl busybox openssl
start_dockerd --storage-driver overlay2 --oom-score-adjust=0

docker() {
    case "$1 ${2:-}" in
        'container run') shift 2; command docker container run --network host "$@" ;;
        'service create') shift 2; command docker service create --network host "$@" ;;
        *) command docker "$@" ;;
    esac
}

# words COMMAND LINE: runs it as it stands.
words() {
    echo "+ $1" >> "$log"
    eval "$1" >> "$log" 2>&1 || die "$1"
}

# What the image holds, from a binary that was built outside of Docker.
"$repo/deploy/rootfs" "$work/context" "$REGISTRY_BIN"
cp "$repo/deploy/Dockerfile" "$work/context"
run docker build --network none -t registry "$work/context"
size="$(output docker image inspect -f '{{.Size}}' registry)"
# Two programs with SQLite, PostgreSQL and three object stores each; a change must not double that unseen.
[ "$size" -lt 60000000 ] || die "the image has $size bytes"
[ "$(grep -c 'BEGIN CERTIFICATE' "$work/context/rootfs/etc/ssl/certs/ca-certificates.crt")" -gt 100 ] || die "lacks authorities"
ok "an image from the release binary"

# From source, on a stand-in for the image with Rust, which can not be had here: its `cargo` has built everything before.
mkdir -p "$work/rust/bin" "$work/rust/usr/bin" "$work/rust/prebuilt" "$work/rust/usr/share/ca-certificates"
cp "$(command -v busybox)" "$work/rust/bin/busybox"
for program in sh cat chmod cp dirname find ln mkdir uname env; do ln -s busybox "$work/rust/bin/$program"; done
cp "$REGISTRY_BIN" "$work/rust/prebuilt/registry"
cp "$REGISTRY_BIN-gc" "$work/rust/prebuilt/registry-gc"
cp -R /usr/share/ca-certificates/mozilla "$work/rust/usr/share/ca-certificates/"
cat > "$work/rust/bin/cargo" <<'CARGO'
#!/bin/sh
set -eu
[ "$*" = "build --release --locked --bin registry --bin registry-gc --target $(uname -m)-unknown-linux-gnu" ]
[ -f Cargo.lock ] && [ -f bins/registry/src/main.rs ] && [ ! -e target ] && [ "$BUILD_COMMIT" = 0123abcd ]
mkdir -p "target/$(uname -m)-unknown-linux-gnu/release"
cp /prebuilt/* "target/$(uname -m)-unknown-linux-gnu/release/"
CARGO
chmod 755 "$work/rust/bin/cargo"
tar -C "$work/rust" -cf "$work/rust.tar" .
run docker import -c 'ENV PATH=/bin:/usr/bin' "$work/rust.tar" rust-stand-in
run docker build --network none --build-arg RUST_IMAGE=rust-stand-in --build-arg BUILD_COMMIT=0123abcd -t registry:source "$repo"
settings='{{json .Config.Env}} {{json .Config.Cmd}} {{json .Config.Entrypoint}} {{json .Config.Volumes}} {{json .Config.ExposedPorts}} {{json .Config.Healthcheck}}'
equal "settings of the image from source" "$(output docker image inspect -f "$settings" registry:source)" \
    "$(output docker image inspect -f "$settings" registry)"
for image in registry registry:source; do
    container="$(output docker create "$image")"
    mkdir "$work/${image/:/-}"
    docker export "$container" | tar -C "$work/${image/:/-}" -x --exclude=dev --exclude=proc --exclude=sys --exclude=.dockerenv
    run docker rm "$container"
done
same_tree "the image from source" "$work/registry-source/bin" "$work/registry/bin"
equal "mode of a folder" "$(stat -c %a "$work/registry-source/etc/docker/registry")" 755
run docker image rm registry:source rust-stand-in
ok "the same image from source"

# listens NAME: it says so, or it has ended.
listens() {
    docker logs "$1" 2>&1 | grep -q 'listening on' || [ "$(docker inspect -f '{{.State.Running}}' "$1")" != true ]
}

# wait_until_serving NAME: sets $said to its log.
wait_until_serving() {
    wait_for "$1" listens "$1"
    said="$(docker logs "$1" 2>&1)"
    echo "$said" >> "$log"
    grep -q 'listening on' <<< "$said" || die "$1 did not start: $(tail -n 5 <<< "$said")"
}

# says TEXT: the registry that was waited for last has said it.
says() { grep -qF -- "$1" <<< "$said" || die "does not say '$1': $said"; }

# start NAME [DOCKER OPTION...] -- [ARGUMENT...]: a registry on port 5000, in the place of the last one.
start() {
    local name=$1 options=()
    shift
    while [ "$#" -gt 0 ] && [ "$1" != -- ]; do options+=("$1"); shift; done
    [ "$#" -eq 0 ] || shift
    run docker container rm -f registry
    run docker container run --network host -d --name registry "${options[@]}" registry "$@"
    wait_until_serving registry
}

# nothing WHAT GOT
nothing() { [ -z "$2" ] || die "$1: $2"; }

rootfs "$work/hello"
tar -C "$work/hello" -cf "$work/hello.tar" .
run docker import -c 'ENTRYPOINT ["/bin/busybox", "cat", "/etc/greeting"]' "$work/hello.tar" hello-world
hello="$(output docker image inspect -f '{{.Id}}' hello-world)"

# The commands that everybody knows.
words 'docker container run -d -p 5000:5000 --name registry registry'
wait_until_serving registry
says 'level=warning'
says 'everybody who reaches :5000'
says 'configured by /etc/docker/registry/config.yml'
says 'runs as user 65532'
says 'docker push localhost:5000/<name>'
words 'docker tag hello-world 127.0.0.1:5000/hello-world && docker push 127.0.0.1:5000/hello-world'
words 'docker image remove hello-world && docker image remove 127.0.0.1:5000/hello-world && docker pull 127.0.0.1:5000/hello-world'
equal "image" "$(output docker image inspect -f '{{.Id}}' 127.0.0.1:5000/hello-world)" "$hello"
words 'curl localhost:5000/v2/_catalog'
equal "catalog" "$(output curl -sS localhost:5000/v2/_catalog)" '{"repositories":["hello-world"]}'
run docker container rm -f registry
# The folder is made by the engine, for root.
words 'docker container run -d -p 5000:5000 --name registry -v $(pwd)/registry-data:/var/lib/registry registry'
wait_until_serving registry
words 'docker push 127.0.0.1:5000/hello-world'
equal "owner of the data" "$(stat -c %u "$work/registry-data/metadata.sqlite")" 65532
equal "user of the process" "$(stat -c %u "/proc/$(docker inspect -f '{{.State.Pid}}' registry)")" 65532
run docker container rm -f registry
words 'docker container run -d -p 5000:5000 --name registry -v $(pwd)/registry-data:/var/lib/registry registry'
wait_until_serving registry
words 'docker pull 127.0.0.1:5000/hello-world'
ok "the commands of the Go registry's documentation, word for word"

is_healthy() { [ "$(docker inspect -f '{{.State.Health.Status}}' registry)" = healthy ]; }
run docker exec registry registry health
run docker exec -u 65532 registry registry health
start_secs_max=60 wait_for "healthy" is_healthy
ok "its health is asked for by the engine"

# Commands in the container are root's, and leave nothing that the server can not read.
for line in 'garbage-collect' 'garbage-collect /etc/docker/registry/config.yml' 'garbage-collect --delete-untagged /etc/distribution/config.yml' \
    'garbage-collect --config /etc/docker/registry/config.yml' fsck; do
    # shellcheck disable=SC2086 # the words are the arguments
    run docker exec registry registry $line
    run docker exec -u 65532 registry registry fsck
done
run docker exec registry registry-gc /etc/docker/registry/config.yml
run docker exec registry registry-gc --config /etc/distribution/config.yml
nothing "files of others in the volume" "$(find "$work/registry-data" ! -user 65532)"
run docker restart registry
wait_until_serving registry
! grep -q "mark" <<< "$said" || die "the store's mark is not the server's any more"
ok "cron lines by docker exec, with either path and with none"

# Without a path, with the path of version 2, and of version 3; as anybody.
start registry -- serve
says 'listening on [::]:5000'
start registry -- serve /etc/docker/registry/config.yml
start registry -- /etc/distribution/config.yml
start registry --user 65532 -- serve
start registry --user 65532 -v named:/var/lib/registry --
start registry --user 65532:65532 --read-only --cap-drop ALL --tmpfs /var/lib/registry:uid=65532 --
mkdir "$work/other"
chown 1234:1234 "$work/other"
start registry --user 1234:1234 --read-only --cap-drop ALL -v "$work/other:/var/lib/registry" --
words 'docker push 127.0.0.1:5000/hello-world'
# A command of root's becomes the user whose folder it is.
start registry --user 1234:1234 -v "$work/other:/var/lib/registry" --
equal "owner of the data" "$(stat -c %u "$work/other/metadata.sqlite")" 1234
run docker exec registry registry fsck
run docker exec -u 0 registry registry fsck
nothing "files of others in the volume" "$(find "$work/other" -mindepth 1 ! -user 1234)"
# As deploy/compose.yaml has it.
start registry --read-only --cap-drop ALL --cap-add CHOWN --cap-add DAC_OVERRIDE --cap-add FOWNER --cap-add SETGID --cap-add SETUID \
    --security-opt no-new-privileges:true -v compose:/var/lib/registry --
words 'docker push 127.0.0.1:5000/hello-world'
ok "as root, as 65532 and as somebody else"

# The operator's file or folder, at both places, and what the commands in the container then read.
mkdir "$work/conf"
printf 'version: 0.1\nlog: {fields: {place: mine}}\nstorage: {filesystem: {rootdirectory: /var/lib/registry}}\nhttp: {addr: "127.0.0.1:5001"}\n' \
    > "$work/conf/config.yml"
for mount in conf/config.yml:/etc/docker/registry/config.yml conf/config.yml:/etc/distribution/config.yml \
    conf:/etc/docker/registry conf:/etc/distribution; do
    start registry -v "$work/$mount:ro" --
    says 'listening on 127.0.0.1:5001'
    says 'place=mine'
    run docker exec registry registry health
    for path in /etc/docker/registry/config.yml /etc/distribution/config.yml; do
        contains "check-config with $mount" "$(output docker exec registry registry check-config $path)" "$path has no problems"
        run docker exec registry registry garbage-collect $path
    done
done
start registry -v "$work/conf/config.yml:/my.yml:ro" -- /my.yml
says 'configured by /my.yml'
run docker exec registry registry health
start registry -v "$work/conf/config.yml:/my.yml:ro" -e REGISTRY_CONFIGURATION_PATH=/my.yml --
says 'configured by /my.yml'
ok "the operator's file at either place is the only one"

# docs.docker.com's walk-through: a key and a password file as openssl and htpasswd leave them to root, on port 443.
make_credentials
chmod 600 "$work/pki/server.key" "$work/pki/htpasswd"
chmod 700 "$work/pki"
secured=(-v "$work/pki:/certs:ro" -e REGISTRY_HTTP_ADDR=0.0.0.0:443 -e REGISTRY_HTTP_TLS_CERTIFICATE=/certs/server.crt
    -e REGISTRY_HTTP_TLS_KEY=/certs/server.key -e REGISTRY_AUTH=htpasswd -e REGISTRY_AUTH_HTPASSWD_REALM=Registry
    -e REGISTRY_AUTH_HTPASSWD_PATH=/certs/htpasswd)
start registry "${secured[@]}" --
says 'listening on 0.0.0.0:443, tls'
equal "status with the password" "$(output curl -sS -o /dev/null -w '%{http_code}' --cacert "$ca" --resolve "$tls_host:443:127.0.0.1" \
    -u "$user:$password" "https://$tls_host/v2/")" 200
equal "status without" "$(output curl -sS -o /dev/null -w '%{http_code}' --cacert "$ca" --resolve "$tls_host:443:127.0.0.1" \
    "https://$tls_host/v2/")" 401
equal "user of the process" "$(stat -c %u "/proc/$(docker inspect -f '{{.State.Pid}}' registry)")" 65532
equal "its capabilities" "$(sed -n 's/^CapBnd:\t//p' "/proc/$(docker inspect -f '{{.State.Pid}}' registry)/status")" 0000000000000000
run docker exec registry registry health
run docker kill --signal HUP registry
run docker exec registry registry health
ok "keys and passwords of root, on port 443"

# The volume of a Go registry is left as it is.
mkdir -p "$work/go/docker/registry/v2/repositories"
run docker container rm -f registry
refused docker container run --network host --rm --name registry -v "$work/go:/var/lib/registry" registry
grep -q 'data of another registry' "$log" || die "does not say whose data it is"
nothing "owners in the Go registry's volume" "$(find "$work/go" ! -user 0)"
equal "files in the Go registry's volume" "$(find "$work/go" | wc -l)" 5
ok "the volume of a Go registry is not touched"

# Told to stop, it stops by itself.
start registry --
run docker stop -t 20 registry
equal "exit status" "$(output docker inspect -f '{{.State.ExitCode}}' registry)" 0
run docker container rm -f registry
ok "stops when told to"

# A swarm of one; its ingress wants a module of the kernel that is missing here.
run docker swarm init --advertise-addr 127.0.0.1
words 'docker service create --detach --name registry registry'
is_running() { [ -n "$(docker ps -q --filter name=registry.1 --filter health=healthy)" ]; }
start_secs_max=90 wait_for "the service" is_running
words 'docker push 127.0.0.1:5000/hello-world'
run docker service rm registry
ok "as a service of a swarm"

run kill "$daemon"
wait "$daemon" 2>> "$log" || true
