#!/usr/bin/env bash
# oras: artifacts, what is attached to them, blobs, manifests, copies.

# shellcheck source=tests/interop/lib.sh
. "$(dirname "${BASH_SOURCE[0]}")/../lib.sh"
isolate "$0" "$@"
need oras
serve_plain
serve_tls

mkdir "$work/files"
cd "$work/files"
echo 'first file' > first.txt
head -c 3000000 /dev/urandom > second.bin
mkdir folder
echo nested > folder/nested.txt

pushed="$(output oras push --plain-http --artifact-type application/vnd.example.thing --annotation org.example.key=value \
    --format json "$plain/oras/thing:v1,v1.0" first.txt:text/plain second.bin folder | jq -r .digest)"
equal "digest after a push" "$(manifest_digest oras/thing v1)" "$pushed"
equal "second tag" "$(manifest_digest oras/thing v1.0)" "$pushed"
equal "resolve" "$(output oras resolve --plain-http "$plain/oras/thing:v1")" "$pushed"
run oras pull --plain-http -o "$work/pulled" "$plain/oras/thing:v1"
same_tree "files after a pull" "$work/pulled" "$work/files"
ok "push of files and a folder with two tags, resolve, pull"

echo '{"bom": 1}' > "$work/bom.json"
cd "$work"
bom="$(output oras attach --plain-http --artifact-type application/vnd.example.bom --annotation org.example.what=bom --format json \
    "$plain/oras/thing:v1" bom.json:application/json | jq -r .digest)"
signature="$(output oras attach --plain-http --artifact-type application/vnd.example.signature --format json \
    --annotation org.example.of=bom "$plain/oras/thing@$bom" | jq -r .digest)"
tree="$(output oras discover --plain-http --distribution-spec v1.1-referrers-api --format json "$plain/oras/thing:v1")"
equal "attached to the artifact" "$(jq -r '[.referrers[].digest] | join(" ")' <<< "$tree")" "$bom"
equal "attached to what is attached" "$(jq -r '[.referrers[].referrers[]?.digest] | join(" ")' <<< "$tree")" "$signature"
equal "annotation" "$(jq -r '.referrers[0].annotations["org.example.what"]' <<< "$tree")" bom
none="$(output oras discover --plain-http --distribution-spec v1.1-referrers-api --artifact-type application/vnd.example.none \
    --format json "$plain/oras/thing:v1")"
equal "filtered" "$(jq -r '.referrers | length' <<< "$none")" 0
run oras pull --plain-http -o "$work/pulled-bom" "$plain/oras/thing@$bom"
run cmp "$work/bom.json" "$work/pulled-bom/bom.json"
ok "attach, discover by the referrers API, with a filter"

run oras cp --from-plain-http --to-plain-http -r "$plain/oras/thing:v1" "$plain/oras/copied/thing:v1"
equal "digest after a copy" "$(manifest_digest oras/copied/thing v1)" "$pushed"
tree="$(output oras discover --plain-http --distribution-spec v1.1-referrers-api --format json "$plain/oras/copied/thing:v1")"
equal "attached after a copy" "$(jq -r '[.. | .digest? // empty] | unique | length' <<< "$tree")" \
    "$(printf '%s\n' "$pushed" "$bom" "$signature" | sort -u | wc -l)"
run oras cp --from-plain-http -r --to-oci-layout "$plain/oras/thing:v1" "$work/layout:v1"
for digest in "$pushed" "$bom" "$signature"; do
    equal "bytes in a layout" "$(digest_of "$(blob_of "$work/layout" "$digest")")" "$digest"
done
ok "recursive copy to a repository and to a layout"

big="$(digest_of "$work/files/second.bin")"
run oras blob push --plain-http "$plain/oras/blobs@$big" "$work/files/second.bin"
run oras blob fetch --plain-http -o "$work/big-back" "$plain/oras/blobs@$big"
run cmp "$work/files/second.bin" "$work/big-back"
run oras blob delete --plain-http --force "$plain/oras/blobs@$big"
refused oras blob fetch --plain-http -o "$work/never" "$plain/oras/blobs@$big"
ok "blob push, fetch and delete"

output oras manifest fetch --plain-http "$plain/oras/thing:v1" > "$work/manifest.json"
equal "manifest bytes" "$(digest_of "$work/manifest.json")" "$pushed"
run oras manifest push --plain-http --media-type application/vnd.oci.image.manifest.v1+json "$plain/oras/thing:pushed" "$work/manifest.json"
run oras tag --plain-http "$plain/oras/thing:pushed" one two
equal "tags" "$(output oras repo tags --plain-http "$plain/oras/thing" | tr '\n' ' ')" "one pushed two v1 v1.0 "
contains "repositories" "$(output oras repo ls --plain-http "$plain")" oras/copied/thing
run oras manifest index create --plain-http "$plain/oras/thing:index" v1
equal "child of the index" "$(manifest oras/thing index | jq -r '.manifests[0].digest')" "$pushed"
run oras manifest delete --plain-http --force "$plain/oras/copied/thing@$signature"
equal "manifest after delete" "$(status "/v2/oras/copied/thing/manifests/$signature")" 404
ok "manifest fetch, push, index and delete, tag, repo ls and tags"

cd "$work/files"
refused oras push "$tls/oras/thing:v1" first.txt
refused oras push --ca-file "$ca" "$tls/oras/thing:v1" first.txt
refused oras login --ca-file "$ca" -u "$user" -p wrong "$tls"
run oras login --ca-file "$ca" -u "$user" --password-stdin "$tls" <<< "$password"
run oras push --ca-file "$ca" "$tls/oras/thing:v1" first.txt:text/plain second.bin folder
run oras attach --ca-file "$ca" --artifact-type application/vnd.example.bom "$tls/oras/thing:v1" first.txt
equal "attached over TLS" "$(output oras discover --ca-file "$ca" --format json "$tls/oras/thing:v1" | jq '.referrers | length')" 1
run oras pull --ca-file "$ca" -o "$work/pulled-tls" "$tls/oras/thing:v1"
same_tree "files after a pull over TLS" "$work/pulled-tls" "$work/files"
run oras logout "$tls"
refused oras pull --ca-file "$ca" -o "$work/never" "$tls/oras/thing:v1"
ok "login, push, attach and pull over TLS"

serve_tokens tokens
login() { run oras login --ca-file "$ca" -u "$1" --password-stdin "$tokened" <<< "$password"; }
refused oras push --ca-file "$ca" "$tokened/oras/thing:v1" first.txt
refused oras login --ca-file "$ca" -u "$user" -p wrong "$tokened"
login "$user"
run oras push --ca-file "$ca" "$tokened/oras/thing:v1" first.txt:text/plain second.bin folder
run oras attach --ca-file "$ca" --artifact-type application/vnd.example.bom "$tokened/oras/thing:v1" first.txt
run oras copy --from-ca-file "$ca" --to-ca-file "$ca" --recursive "$tokened/oras/thing:v1" "$tokened/public/thing:v1"
has_asked "both repositories of a mount" '([.allowed[]?.name] | unique) == ["oras/thing", "public/thing"]'
run oras logout "$tokened"
run oras pull --ca-file "$ca" -o "$work/pulled-public" "$tokened/public/thing:v1"
same_tree "files pulled without a login" "$work/pulled-public" "$work/files"
refused oras pull --ca-file "$ca" -o "$work/never" "$tokened/oras/thing:v1"
login "$reader"
run oras pull --ca-file "$ca" -o "$work/pulled-tokens" "$tokened/oras/thing:v1"
same_tree "files pulled by a token" "$work/pulled-tokens" "$work/files"
refused_for_scope oras push --ca-file "$ca" "$tokened/oras/never:v1" first.txt
ok "login, push, attach, mount and pull by tokens, without a login what is public, and a reader is told why it cannot push"

serve_short_tokens 800000
login "$user"
run oras push --ca-file "$ca" "$tokened/oras/thing:v1" first.txt:text/plain second.bin
renewed
ok "push that outlives its token"
