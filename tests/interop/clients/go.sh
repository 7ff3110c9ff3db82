#!/usr/bin/env bash
# Go's own HTTP client, which most of the other clients are built on: answers that come while it still sends reach it.

# shellcheck source=tests/interop/lib.sh
. "$(dirname "${BASH_SOURCE[0]}")/../lib.sh"
PATH="$PATH:/usr/local/go/bin"
isolate "$0" "$@"
need go
serve_plain
serve_tls

# Nothing but the standard library, and no network to fetch anything else from.
export GOTOOLCHAIN=local GOFLAGS=-mod=mod GOPROXY=off GOCACHE="$work/gocache" CGO_ENABLED=0
(cd "$repo/tests/interop/refusals" && run go vet . && run go build -trimpath -o "$work/refusals" .)

run "$work/refusals" -url "http://$plain"
ok "refusals over HTTP/1.1, none lost"

run "$work/refusals" -url "https://$tls" -ca "$ca" -user "$user:$password"
ok "refusals over TLS, none lost"

run "$work/refusals" -url "https://$tls" -ca "$ca" -user "$user:$password" -times 50 -http2
ok "refusals over HTTP/2, none lost"

refused_in_words="$(output curl -sS "http://$tls/v2/")"
[[ "$refused_in_words" == *HTTPS* ]] || die "plain HTTP on the port for TLS is not told so: $refused_in_words"
ok "plain HTTP on the port for TLS is told what is spoken there"
