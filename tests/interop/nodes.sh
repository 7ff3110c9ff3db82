# shellcheck shell=bash
# shellcheck disable=SC2154 # lib.sh sets $work and $repo
# Three nodes over one PostgreSQL and one bucket, with nginx before them that sends every request to the next node; sourced after
# lib.sh, in the namespaces that `isolate` makes.
#
# After `start_postgres`, `start_versitygw` and `start_nodes`:
#   $plain      host:port of nginx
#   $nodes      host:port of each node
#   $node_pids  their processes
#   $database   the URL that they have in common

nodes_wanted="${nodes_wanted:-3}"

bucket=images
bucket_key=registry-test
bucket_secret=registry-test-secret

# PostgreSQL does not run as root, and must reach its files.
as_postgres=(runuser -u postgres --)

postgres_program() {
    local folder
    folder="$(printf '%s\n' /usr/lib/postgresql/*/bin | sort -V | tail -n 1)"
    [ -x "$folder/$1" ] || die "there is no $1 of PostgreSQL; tests/setup installs it"
    echo "$folder/$1"
}

start_postgres() {
    local port=5432
    chmod 711 "$work"
    install -d -o postgres "$work/postgres"
    (cd "$work/postgres" && run "${as_postgres[@]}" "$(postgres_program initdb)" --pgdata "$work/postgres/data" --username registry --auth trust \
        --no-sync --locale C --encoding UTF8)
    resume_postgres
    (cd "$work/postgres" && run "${as_postgres[@]}" createdb --host 127.0.0.1 --port "$port" --username registry registry)
    database="postgres://registry@127.0.0.1:$port/registry"
}

resume_postgres() {
    (cd "$work/postgres" && exec "${as_postgres[@]}" "$(postgres_program postgres)" -D "$work/postgres/data" \
        -c listen_addresses=127.0.0.1 -c unix_socket_directories= -c fsync=off) > "$work/postgres.log" 2>&1 &
    wait_for PostgreSQL pg_isready --host 127.0.0.1 --port 5432
}

# Without a word to those who are connected.
stop_postgres() { "${as_postgres[@]}" kill -QUIT "$(head -n 1 "$work/postgres/data/postmaster.pid")"; }

start_versitygw() {
    need versitygw
    mkdir -p "$work/versitygw/sidecar" "$work/versitygw/data/$bucket"
    versitygw --quiet --keep-alive --access "$bucket_key" --secret "$bucket_secret" --port 127.0.0.1:7070 \
        posix --sidecar "$work/versitygw/sidecar" "$work/versitygw/data" > "$work/versitygw.log" 2>&1 &
    wait_for versitygw curl -s -o "$work/versitygw.answer" http://127.0.0.1:7070/
}

# serve_node NAME [VARIABLE=VALUE...]: one more node; `serve` tells where and as whom.
serve_node() {
    local name=$1
    shift
    serve "$name" 127.0.0.1:0 env -u REGISTRY_STORAGE_FILESYSTEM_ROOTDIRECTORY \
        "REGISTRY_STORAGE_S3_BUCKET=$bucket" REGISTRY_STORAGE_S3_REGIONENDPOINT=http://127.0.0.1:7070 \
        REGISTRY_STORAGE_S3_FORCEPATHSTYLE=true "REGISTRY_STORAGE_S3_ACCESSKEY=$bucket_key" "REGISTRY_STORAGE_S3_SECRETKEY=$bucket_secret" \
        "REGISTRY_METADATA_POSTGRESQL_URL=$database" "$@"
}

# start_nodes [VARIABLE=VALUE...]: the nodes, with these variables, and nginx.
start_nodes() {
    local number
    nodes=()
    node_pids=()
    for ((number = 1; number <= nodes_wanted; number++)); do
        serve_node "node$number" "$@"
        nodes+=("127.0.0.1:$port")
        node_pids+=("$pid")
    done
    start_nginx
}

# They may begin anew with other variables.
stop_nodes() {
    kill "${node_pids[@]}" "$nginx_pid"
    wait "${node_pids[@]}" "$nginx_pid" || true
}

# With the file that is delivered; only the addresses are others.
start_nginx() {
    local number edits=(-e 's/listen 5000;/listen 127.0.0.1:8080;/')
    need nginx
    for ((number = 1; number <= nodes_wanted; number++)); do
        edits+=(-e "s/server node$number:5000 /server ${nodes[number - 1]} /")
    done
    # And there may be fewer.
    edits+=(-e '/server node[0-9]*:5000 /d')
    mkdir -p "$work/nginx"
    sed "${edits[@]}" "$repo/deploy/nodes/registry.nginx.conf" > "$work/nginx/registry.conf"
    printf '%s\n' 'daemon off; user root; worker_processes 2; pid nginx.pid; error_log stderr warn;' 'events {}' \
        "http { access_log off; include $work/nginx/registry.conf; }" > "$work/nginx/nginx.conf"
    nginx -p "$work/nginx" -e stderr -c "$work/nginx/nginx.conf" > "$work/nginx.log" 2>&1 &
    nginx_pid=$!
    # shellcheck disable=SC2034 # for the scripts
    plain=127.0.0.1:8080
    wait_for nginx curl -fsS -o "$work/nginx.answer" "http://$plain/v2/"
}

# uploads_shared: how many uploads had requests at more than one node, of how many that had several requests.
uploads_shared() {
    local number
    for ((number = 1; number <= nodes_wanted; number++)); do
        # The answer to the POST names the upload only in its headers, so these are its PATCH, PUT, GET and DELETE.
        grep -oE '(PATCH|PUT|GET|DELETE) [^ "]*/blobs/uploads/[^ ?"]+' "$work/node$number.log" | sed -E "s|.*/uploads/|$number |" || true
    done | awk '
        { requests[$2]++; if (!(($1, $2) in seen)) { seen[$1, $2] = 1; at[$2]++ } }
        END { for (upload in requests) if (requests[upload] > 1) { all++; if (at[upload] > 1) shared++ } print shared + 0, all + 0 }'
}
