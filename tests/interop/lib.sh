# shellcheck shell=bash
# Shared by the scripts in clients/ and by the conformance run; sourced, never run.
#
# A script that calls `isolate` runs again inside namespaces of its own: processes, mounts and network. When its first process
# ends, for whatever reason, the kernel ends every daemon that it started and takes every mount away. The network has nothing
# but loopback, so no client can reach out, and ports clash with nobody's.
#
# What a script then finds:
#   $work      a fresh folder, gone at the end
#   $plain     host:port of a registry over plain HTTP, after `serve_plain`
#   $tls       host:port of a registry over TLS that wants $user and $password, after `serve_tls`; $ca is its authority's file
#   $tokened   host:port of a registry over TLS that wants tokens, after `serve_tokens`; $reader may pull, with the same password
#
# REGISTRY_BIN names the program under test, REGISTRY_CONFIG a configuration file for it (none by default; a stand-in may need
# one). INTEROP_SERVERS names what the tests' package builds for these scripts. KEEP=1 keeps $work and says where it is.

set -euo pipefail

here="$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)"
repo="$(cd "$here/../.." && pwd)"
REGISTRY_BIN="${REGISTRY_BIN:-${CARGO_TARGET_DIR:-$repo/target}/release/registry}"
INTEROP_SERVERS="${INTEROP_SERVERS:-${CARGO_TARGET_DIR:-$repo/target}/debug/interop-servers}"
tools="$("$repo/tests/setup" where)"
PATH="$tools:$PATH:/usr/sbin:/sbin"

user=interop
reader=reader
password='correct horse: battery/staple'
tls_host=registry.test
tls_address=2001:db8::7

# How long one client's command may take, and a server its start.
command_secs_max=120
start_secs_max=20

# isolate "$0" "$@": continues below it inside the namespaces, as root there and here.
isolate() {
    if [ -z "${INTEROP_WORK:-}" ]; then
        local status=0 folder
        [ "$(id -u)" = 0 ] || { echo "$1: must run as root" >&2; exit 1; }
        [ -x "$REGISTRY_BIN" ] || { echo "$1: no program at $REGISTRY_BIN (REGISTRY_BIN names another)" >&2; exit 1; }
        folder="$(mktemp -d "${TMPDIR:-/tmp}/interop.XXXXXX")"
        INTEROP_WORK="$folder" unshare --mount --pid --net --fork --kill-child --mount-proc "$@" || status=$?
        if [ -n "${KEEP:-}" ]; then
            echo "kept: $folder" >&2
        else
            rm -rf --one-file-system "$folder"
        fi
        exit "$status"
    fi
    work="$INTEROP_WORK"
    unset INTEROP_WORK
    ip link set lo up
    # The docker daemon takes every registry on a loopback address for insecure and does not look at its certificate, so the one
    # with TLS has an address of its own here, one that documentation uses.
    ip addr add "$tls_address/128" dev lo
    printf '127.0.0.1 localhost\n%s %s\n' "$tls_address" "$tls_host" > "$work/hosts"
    mount --bind "$work/hosts" /etc/hosts
    # Sockets and state that daemons keep at fixed places.
    mount -t tmpfs -o mode=755 tmpfs /run
    mkdir -p /run/lock
    # No client sees or changes what the caller has configured.
    export HOME="$work/home" XDG_RUNTIME_DIR="$work/run" TMPDIR="$work/tmp"
    unset DOCKER_HOST DOCKER_CONFIG REGISTRY_AUTH_FILE XDG_CONFIG_HOME XDG_CACHE_HOME XDG_DATA_HOME HTTP_PROXY HTTPS_PROXY http_proxy https_proxy
    mkdir -p "$HOME" "$XDG_RUNTIME_DIR" "$TMPDIR"
    cd "$work"
    client="$(basename "$1" .sh)"
    log="$work/log"
    : > "$log"
    set -E
    trap 'failed "$BASH_COMMAND"' ERR
}

# What is printed when a script ends early: where, and the end of every log.
failed() {
    trap - ERR
    set +x
    local frame line='?'
    # The line of the script itself, not of a function here.
    for ((frame = 1; frame < ${#BASH_SOURCE[@]}; frame++)); do
        [ "${BASH_SOURCE[frame]}" != "$0" ] || { line="${BASH_LINENO[frame - 1]}"; break; }
    done
    echo "not ok $client: line $line: $1" >&2
    # In a subshell the line above is all: its end makes the script itself come here.
    [ "$BASHPID" = "$$" ] || exit 1
    local file
    for file in "$work"/*.log "$log"; do
        [ -s "$file" ] || continue
        printf -- '--- %s\n' "$(basename "$file")"
        tail -n "${LOG_LINES:-30}" "$file" | cut -c1-500
    done >&2
    exit 1
}

die() { failed "$*"; }

ok() { echo "ok $client: $*"; }

# run COMMAND...: its output goes to the log, its time is bounded, its failure ends the script.
run() {
    echo "+ $*" >> "$log"
    timeout -k 5 "$command_secs_max" "$@" >> "$log" 2>&1
}

# output COMMAND...: the same, but standard output is handed on.
output() {
    echo "+ $*" >> "$log"
    timeout -k 5 "$command_secs_max" "$@" 2>> "$log"
}

# refused COMMAND...: must fail.
refused() {
    echo "+ (to be refused) $*" >> "$log"
    if timeout -k 5 "$command_secs_max" "$@" >> "$log" 2>&1; then
        die "succeeded, but must not: $*"
    fi
}

# equal WHAT GOT WANTED
equal() {
    [ -n "$3" ] || die "$1: nothing to compare with"
    [ "$2" = "$3" ] || die "$1: got '$2', wanted '$3'"
}

# same_tree WHAT GOT WANTED: two folders hold the same files with the same bytes.
same_tree() {
    run diff -r "$2" "$3" || die "$1: $2 and $3 differ"
}

# contains WHAT TEXT LINE: one line of the text is exactly this one.
contains() {
    grep -qxF -- "$3" <<< "$2" || die "$1: no line '$3' in: $2"
}

need() {
    local program
    for program in "$@"; do
        command -v "$program" > /dev/null || die "$program is not installed; tests/setup installs it"
    done
}

# wait_for WHAT COMMAND...: until the command succeeds.
wait_for() {
    local what=$1 deadline=$((SECONDS + start_secs_max))
    shift
    until "$@" > /dev/null 2>&1; do
        [ "$SECONDS" -lt "$deadline" ] || die "$what: not after $start_secs_max s"
        sleep 0.1
    done
}

# Quotas for `serve_plain` that refuse a push when its first blob begins, when a blob ends, and when its manifest comes.
# shellcheck disable=SC2034 # for the scripts
quotas='REGISTRY_QUOTAS=[{prefix: full/, bytes: 0}, {prefix: small/, bytes: 100}, {prefix: untagged/, tags: 0}]'

# refused_for_quota PREFIX COMMAND...: must fail, and show whoever runs it why.
refused_for_quota() {
    local prefix=$1 said
    shift
    echo "+ (to be refused) $*" >> "$log"
    if said="$(timeout -k 5 "$command_secs_max" "$@" 2>&1)"; then
        die "succeeded, but must not: $*"
    fi
    printf '%s\n' "$said" >> "$log"
    grep -qF "the quota of \`$prefix\` is" <<< "$said" || die "does not tell why it failed: $*"
}

# refused_for_scope COMMAND...: must fail, and tell that it is not allowed: in the registry's words, or in the client's own.
refused_for_scope() {
    local said
    echo "+ (to be refused) $*" >> "$log"
    if said="$(timeout -k 5 "$command_secs_max" "$@" 2>&1)"; then
        die "succeeded, but must not: $*"
    fi
    printf '%s\n' "$said" >> "$log"
    grep -qE 'the token does not allow this|insufficient_scope|requested access to the resource is denied' <<< "$said" || die "does not tell why it failed: $*"
}

digest_of() { printf 'sha256:%s' "$(sha256sum < "$1" | cut -d' ' -f1)"; }

# --- servers -----------------------------------------------------------------------------------------------------------------

# serve NAME ADDRESS [VARIABLE=VALUE...]: starts the program on a fresh folder, sets $port and $pid.
serve() {
    local name=$1 address=$2
    shift 2
    mkdir -p "$work/$name"
    # Of an earlier run under this name nothing may be left to be found before the new one has opened its log.
    : > "$work/$name.log"
    # Variables that begin with REGISTRY_ are configuration to the program: only these, none of ours.
    env -u REGISTRY_BIN -u REGISTRY_CONFIG "REGISTRY_HTTP_ADDR=$address" "REGISTRY_STORAGE_FILESYSTEM_ROOTDIRECTORY=$work/$name" REGISTRY_STORAGE_DELETE_ENABLED=true \
        "$@" "$REGISTRY_BIN" serve ${REGISTRY_CONFIG:+"$REGISTRY_CONFIG"} > "$work/$name.log" 2>&1 &
    pid=$!
    wait_for "the registry on $address" listens_or_ended "$name"
    kill -0 "$pid" 2> /dev/null || die "the registry ended at its start"
    port="$(sed -nE 's/.*listening on [^"]*:([0-9]+).*/\1/p' "$work/$name.log" | head -n 1)"
}

listens_or_ended() { ! kill -0 "$pid" || grep -qE 'listening on [^"]*:[0-9]+' "$work/$1.log"; }

serve_plain() {
    serve registry 127.0.0.1:0 "$@"
    plain="127.0.0.1:$port"
}

# A certificate authority of our own, a certificate from it, and a file with one user.
make_credentials() {
    local folder="$work/pki"
    mkdir -p "$folder"
    ca="$folder/ca.crt"
    openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes -days 2 -subj '/CN=interop test authority' \
        -keyout "$folder/ca.key" -out "$ca" 2>> "$log"
    openssl req -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes -subj "/CN=$tls_host" \
        -keyout "$folder/server.key" -out "$folder/server.csr" 2>> "$log"
    openssl x509 -req -in "$folder/server.csr" -CA "$ca" -CAkey "$folder/ca.key" -CAcreateserial -days 2 -out "$folder/server.crt" \
        -extfile <(printf 'subjectAltName=DNS:%s\nextendedKeyUsage=serverAuth\n' "$tls_host") 2>> "$log"
    htpasswd -Bbn -C 5 "$user" "$password" > "$folder/htpasswd" 2>> "$log"
}

serve_tls() {
    make_credentials
    # Quoted because the value of such a variable is YAML, in which a bare bracket begins a list.
    serve registry-tls "\"[$tls_address]:0\"" \
        "REGISTRY_HTTP_TLS_CERTIFICATE=$work/pki/server.crt" "REGISTRY_HTTP_TLS_KEY=$work/pki/server.key" \
        REGISTRY_AUTH=htpasswd 'REGISTRY_AUTH_HTPASSWD_REALM=interop' "REGISTRY_AUTH_HTPASSWD_PATH=$work/pki/htpasswd" "$@"
    # shellcheck disable=SC2034 # for the scripts
    tls="$tls_host:$port"
}

# serve_tokens NAME [EXPIRES_IN ENDS_IN]: a server of tokens and a registry that takes them; after `make_credentials`. $user may do
# everything, $reader may pull, and a pull below public/ needs no login. Tokens are good for five minutes; or the server says that they
# are for EXPIRES_IN seconds, and they end after ENDS_IN. The registry forgives a minute, so it takes them for a minute more.
serve_tokens() {
    local name=$1 expires_in=${2:-300} ends_in=${3:-300} folder="$work/pki" realm
    [ -x "$INTEROP_SERVERS" ] || die "no program at $INTEROP_SERVERS; 'cargo build -p registry-tests --bins' makes it"
    jq -n --arg listen "[$tls_address]:0" --arg folder "$folder" --arg jwks "$folder/$name.jwks" --arg user "$user" --arg reader "$reader" --arg password "$password" \
        --arg service "$tls_host" --argjson expires_in "$expires_in" --argjson ends_in "$ends_in" \
        'def repositories(name; actions): {type: "repository", name: name, actions: actions};
        {$listen, certificate: "\($folder)/server.crt", key: "\($folder)/server.key", $jwks, issuer: "interop", $service, $expires_in, $ends_in, users: {
            "": {may: [repositories("public/*"; ["pull"])]},
            ($reader): {$password, may: [repositories("*"; ["pull"])]},
            ($user): {$password, may: [repositories("*"; ["pull", "push", "delete"]), {type: "registry", name: "catalog", actions: ["*"]}]}}}' \
        > "$work/$name.json"
    helper "$name" tokens "$work/$name.json"
    tokens_log="$work/$name.log"
    realm="https://$tls_host:$port/token"
    serve "registry-$name" "\"[$tls_address]:0\"" \
        "REGISTRY_HTTP_TLS_CERTIFICATE=$folder/server.crt" "REGISTRY_HTTP_TLS_KEY=$folder/server.key" REGISTRY_AUTH=token \
        "REGISTRY_AUTH_TOKEN_REALM=$realm" "REGISTRY_AUTH_TOKEN_SERVICE=$tls_host" REGISTRY_AUTH_TOKEN_ISSUER=interop \
        "REGISTRY_AUTH_TOKEN_JWKS=$folder/$name.jwks" "REGISTRY_HTTP_HTTP2_DISABLED=${http2_disabled:-false}"
    # shellcheck disable=SC2034 # for the scripts
    tokened="$tls_host:$port"
}

# serve_short_tokens BYTES: the same, but its tokens are refused after three seconds, as those of a server whose clock is behind;
# clients are told that they are good for a minute. The registry takes so many BYTES a second from each connection, and each request
# that sends something has one of its own.
serve_short_tokens() {
    http2_disabled=true serve_tokens short-tokens 60 -57
    serve_slowly "$1"
}

# serve_slowly BYTES: $tokened takes so many bytes a second from each connection.
serve_slowly() {
    helper slow slow "[$tls_address]:0" "$tokened" "$1"
    tokened="$tls_host:$port"
}

# helper NAME ARGUMENT...: starts one of the tests' own servers, sets $port.
helper() {
    local name=$1
    shift
    "$INTEROP_SERVERS" "$@" > "$work/$name.log" 2>&1 &
    pid=$!
    wait_for "$name" listens_or_ended "$name"
    kill -0 "$pid" 2> /dev/null || die "the server of $name ended at its start"
    port="$(sed -nE 's/^listening on .*:([0-9]+)$/\1/p' "$work/$name.log")"
}

# asked FILTER: how many of the requests for tokens are such, as jq has it.
asked() { sed 1d "$tokens_log" | jq -c "select($1)" | wc -l; }

# has_asked WHAT FILTER: one at least.
has_asked() { [ "$(asked "$2")" -gt 0 ] || die "$1: not among what was asked of the server of tokens"; }

# renewed: a token was refused because it had ended, and the client got another.
renewed() {
    grep -q 'a token was refused: it has ended' "$work/registry-short-tokens.log" || die "no token has ended"
    [ "$(asked 'any(.allowed[]?.actions[]; . == "push")')" -gt 1 ] || die "there was one token only"
}

# Programs written in Go that have no flag for an authority take it from here.
trust_ca() { export SSL_CERT_FILE="$ca"; }

# --- what the registry itself says, without a client in between ----------------------------------------------------------------

accept='application/vnd.oci.image.index.v1+json, application/vnd.oci.image.manifest.v1+json,
 application/vnd.docker.distribution.manifest.list.v2+json, application/vnd.docker.distribution.manifest.v2+json'
accept="${accept//$'\n'/}"

# manifest REPOSITORY REFERENCE: its bytes, from the plain registry.
manifest() {
    output curl -fsS --max-time 30 -H "Accept: $accept" "http://$plain/v2/$1/manifests/$2"
}

# manifest_digest REPOSITORY REFERENCE: computed over the bytes, and compared with what the header says.
manifest_digest() {
    local file computed header
    file="$(mktemp)"
    manifest "$1" "$2" > "$file"
    computed="$(digest_of "$file")"
    header="$(output curl -fsSI --max-time 30 -H "Accept: $accept" "http://$plain/v2/$1/manifests/$2" |
        tr -d '\r' | sed -nE 's/^docker-content-digest: //Ip')"
    rm -f "$file"
    equal "Docker-Content-Digest of $1:$2" "$header" "$computed"
    echo "$computed"
}

# status PATH: the status with which the plain registry answers a HEAD.
status() {
    output curl -sS -o /dev/null --max-time 30 -I -H "Accept: $accept" -w '%{http_code}' "http://$plain$1"
}

# --- something to push -------------------------------------------------------------------------------------------------------

# rootfs FOLDER [TEXT]: the smallest file system that can run something, with one file that tells it from others.
rootfs() {
    mkdir -p "$1/bin" "$1/etc"
    cp "$(command -v busybox)" "$1/bin/busybox"
    printf '%s\n' "${2:-hello from $client}" > "$1/etc/greeting"
    # Not compressible, so that a layer has a size worth speaking of.
    head -c 2000000 /dev/urandom > "$1/random"
}

# put_blob LAYOUT FILE: moves a file under its digest, prints the digest.
put_blob() {
    local digest
    digest="$(digest_of "$2")"
    mv "$2" "$1/blobs/sha256/${digest#sha256:}"
    echo "$digest"
}

# blob_of LAYOUT DIGEST
blob_of() { echo "$1/blobs/sha256/${2#sha256:}"; }

# put_image LAYOUT ARCHITECTURE: an image of two layers; prints the descriptor of its manifest.
put_image() {
    local layout=$1 architecture=$2 layers='[]' diffs='[]' file digest diff i
    mkdir -p "$layout/blobs/sha256"
    file="$(mktemp)"
    for i in 1 2; do
        rm -rf "$work/layer"
        mkdir -p "$work/layer"
        printf 'layer %s of %s\n' "$i" "$architecture" > "$work/layer/text-$i"
        head -c 300000 /dev/urandom > "$work/layer/random-$i"
        tar -C "$work/layer" --sort=name --owner=0 --group=0 --numeric-owner --mtime='2020-01-01 00:00Z' -cf "$file" .
        diff="$(digest_of "$file")"
        gzip -nf "$file"
        mv "$file.gz" "$file"
        layers="$(jq -c --argjson size "$(stat -c %s "$file")" --arg digest "$(digest_of "$file")" \
            '. + [{mediaType: "application/vnd.oci.image.layer.v1.tar+gzip", digest: $digest, size: $size}]' <<< "$layers")"
        diffs="$(jq -c --arg diff "$diff" '. + [$diff]' <<< "$diffs")"
        put_blob "$layout" "$file" > /dev/null
    done
    jq -cn --arg architecture "$architecture" --argjson diffs "$diffs" \
        '{architecture: $architecture, os: "linux", config: {}, rootfs: {type: "layers", diff_ids: $diffs}}' > "$file"
    local config_size
    config_size="$(stat -c %s "$file")"
    digest="$(put_blob "$layout" "$file")"
    jq -cn --arg digest "$digest" --argjson size "$config_size" --argjson layers "$layers" \
        '{schemaVersion: 2, mediaType: "application/vnd.oci.image.manifest.v1+json",
          config: {mediaType: "application/vnd.oci.image.config.v1+json", digest: $digest, size: $size}, layers: $layers}' > "$file"
    jq -cn --arg digest "$(digest_of "$file")" --argjson size "$(stat -c %s "$file")" --arg architecture "$architecture" \
        '{mediaType: "application/vnd.oci.image.manifest.v1+json", digest: $digest, size: $size,
          platform: {os: "linux", architecture: $architecture}}'
    put_blob "$layout" "$file" > /dev/null
}

# oci_layout FOLDER TAG: an OCI layout that holds one index of two platforms under the tag; prints the digest of the index.
oci_layout() {
    local layout=$1 tag=$2 file digest size amd64 arm64
    amd64="$(put_image "$layout" amd64)"
    arm64="$(put_image "$layout" arm64)"
    file="$(mktemp)"
    jq -cn --argjson amd64 "$amd64" --argjson arm64 "$arm64" \
        '{schemaVersion: 2, mediaType: "application/vnd.oci.image.index.v1+json", manifests: [$amd64, $arm64]}' > "$file"
    size="$(stat -c %s "$file")"
    digest="$(put_blob "$layout" "$file")"
    echo '{"imageLayoutVersion":"1.0.0"}' > "$layout/oci-layout"
    jq -cn --arg digest "$digest" --argjson size "$size" --arg tag "$tag" \
        '{schemaVersion: 2, manifests: [{mediaType: "application/vnd.oci.image.index.v1+json", digest: $digest, size: $size,
          annotations: {"org.opencontainers.image.ref.name": $tag}}]}' > "$layout/index.json"
    echo "$digest"
}

# blobs_of LAYOUT: the digests of every blob file in it, one a line, sorted.
blobs_of() { find "$1/blobs/sha256" -type f -printf 'sha256:%f\n' | sort; }

# start_dockerd [OPTION...]: an engine of the test's own, without a bridge. An empty /etc/docker of its own, too: no daemon.json, and
# certificates are looked for below it.
start_dockerd() {
    mkdir -p "$work/etc-docker" /etc/docker
    mount --bind "$work/etc-docker" /etc/docker
    mkdir -p "$work/docker"
    export DOCKER_HOST="unix://$work/docker/sock" DOCKER_BUILDKIT=0 DOCKER_CLI_HINTS=false
    dockerd --data-root "$work/docker/data" --exec-root "$work/docker/exec" --pidfile "$work/docker/pid" -H "$DOCKER_HOST" \
        --iptables=false --ip6tables=false --bridge=none "$@" > "$work/dockerd.log" 2>&1 &
    daemon=$!
    wait_for dockerd dockerd_answers_or_ended
    kill -0 "$daemon" 2> /dev/null || die "dockerd ended at its start"
}

dockerd_answers_or_ended() { ! kill -0 "$daemon" || docker version; }
