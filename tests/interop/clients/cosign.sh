#!/usr/bin/env bash
# cosign: signatures and attestations beside an image, with a key and without any outside service, in both of its formats.

# shellcheck source=tests/interop/lib.sh
. "$(dirname "${BASH_SOURCE[0]}")/../lib.sh"
isolate "$0" "$@"
need cosign crane
serve_plain
serve_tls

index="$(oci_layout "$work/layout" v1)"
run crane push --index "$work/layout" "$plain/cosign/bundle:v1"
image="$plain/cosign/bundle@$index"
export COSIGN_PASSWORD=interop
run cosign generate-key-pair
run cosign generate-key-pair --output-key-prefix other
# A signing configuration that names no service at all: no transparency log, no time stamps.
run cosign signing-config create --out "$work/signing.json"

# referrers REPOSITORY [QUERY]: the artifact types of what refers to the index.
referrers() {
    output curl -fsS --max-time 30 "http://$plain/v2/$1/referrers/$index${2:-}" | jq -r '.manifests[].artifactType' | sort
}
bundle_type=application/vnd.dev.sigstore.bundle.v0.3+json

run cosign sign --yes --key cosign.key --signing-config "$work/signing.json" --allow-http-registry -a who=interop "$image"
contains "referrers" "$(referrers cosign/bundle)" "$bundle_type"
contains "filtered referrers" "$(referrers cosign/bundle "?artifactType=${bundle_type/+/%2B}")" "$bundle_type"
equal "tags" "$(output crane ls "$plain/cosign/bundle")" v1
run cosign verify --key cosign.pub --insecure-ignore-tlog --allow-http-registry "$image"
refused cosign verify --key other.pub --insecure-ignore-tlog --allow-http-registry "$image"
ok "sign and verify, the bundle as a referrer"

echo '{"builder": "interop"}' > predicate.json
run cosign attest --yes --key cosign.key --signing-config "$work/signing.json" --allow-http-registry --type custom --predicate predicate.json "$image"
attested="$(output cosign verify-attestation --key cosign.pub --insecure-ignore-tlog --allow-http-registry --type custom "$image")"
equal "predicate" "$(jq -r .payload <<< "$attested" | base64 -d | jq -r '.predicate.Data | fromjson | .builder')" interop
equal "referrers" "$(referrers cosign/bundle | grep -cF "$bundle_type")" 2
ok "attest and verify-attestation"

run crane push --index "$work/layout" "$plain/cosign/legacy:v1"
old=(--yes --key cosign.key --use-signing-config=false --new-bundle-format=false --tlog-upload=false --allow-http-registry)
image="$plain/cosign/legacy@$index"
run cosign sign "${old[@]}" "$image"
contains "tags" "$(output crane ls "$plain/cosign/legacy")" "sha256-${index#sha256:}.sig"
run cosign verify --new-bundle-format=false --key cosign.pub --insecure-ignore-tlog --allow-http-registry "$image"
run cosign attest "${old[@]}" --type custom --predicate predicate.json "$image"
contains "tags" "$(output crane ls "$plain/cosign/legacy")" "sha256-${index#sha256:}.att"
run cosign verify-attestation --new-bundle-format=false --key cosign.pub --insecure-ignore-tlog --allow-http-registry --type custom "$image"
ok "sign, attest and verify, the older format under tags"

refused cosign verify --key cosign.pub --insecure-ignore-tlog --allow-http-registry "$plain/cosign/bundle@$(jq -r '.manifests[0].digest' "$(blob_of "$work/layout" "$index")")"
run cosign copy --allow-http-registry "$plain/cosign/legacy:v1" "$plain/cosign/copied:v1"
run cosign verify --new-bundle-format=false --key cosign.pub --insecure-ignore-tlog --allow-http-registry "$plain/cosign/copied@$index"
ok "copy of an image with its signatures"

trust_ca
image="$tls/cosign/app@$index"
run crane auth login "$tls" -u "$user" -p "$password"
run crane push --index "$work/layout" "$tls/cosign/app:v1"
run cosign sign --yes --key cosign.key --signing-config "$work/signing.json" "$image"
run cosign verify --key cosign.pub --insecure-ignore-tlog "$image"
run crane auth logout "$tls"
refused cosign verify --key cosign.pub --insecure-ignore-tlog "$image"
ok "sign and verify over TLS with a login"
