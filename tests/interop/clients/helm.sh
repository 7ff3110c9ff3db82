#!/usr/bin/env bash
# helm: charts as OCI artifacts.

# shellcheck source=tests/interop/lib.sh
. "$(dirname "${BASH_SOURCE[0]}")/../lib.sh"
isolate "$0" "$@"
need helm
serve_plain
serve_tls

# A version with build metadata: a tag has no plus sign, helm writes an underscore.
mkdir -p "$work/chart/templates"
cat > "$work/chart/Chart.yaml" << 'YAML'
apiVersion: v2
name: greeter
description: says hello
version: 1.2.3+build.7
YAML
echo 'greeting: hello' > "$work/chart/values.yaml"
cat > "$work/chart/templates/config.yaml" << 'YAML'
apiVersion: v1
kind: ConfigMap
metadata:
  name: {{ .Release.Name }}
data:
  greeting: {{ .Values.greeting | quote }}
YAML
mkdir "$work"/{packages,pulled,by-digest,pulled-tls,never}
run helm package -d "$work/packages" "$work/chart"
chart="$work/packages/greeter-1.2.3+build.7.tgz"

pushed="$(output helm push --plain-http "$chart" "oci://$plain/helm/charts" 2>&1 | sed -nE 's/^Digest: *//p')"
equal "digest after a push" "$(manifest_digest helm/charts/greeter 1.2.3_build.7)" "$pushed"
equal "config" "$(manifest helm/charts/greeter 1.2.3_build.7 | jq -r .config.mediaType)" application/vnd.cncf.helm.config.v1+json
run helm pull --plain-http -d "$work/pulled" "oci://$plain/helm/charts/greeter" --version 1.2.3+build.7
run cmp "$chart" "$work/pulled/greeter-1.2.3+build.7.tgz"
ok "push and pull of a chart"

sed -i 's/^version: .*/version: 1.3.0/' "$work/chart/Chart.yaml"
run helm package -d "$work/packages" "$work/chart"
run helm push --plain-http "$work/packages/greeter-1.3.0.tgz" "oci://$plain/helm/charts"
# Which version a range means is found out from the list of tags.
equal "newest in a range" \
    "$(output helm show chart --plain-http "oci://$plain/helm/charts/greeter" --version '>=1.2.0' | sed -n 's/^version: //p')" 1.3.0
contains "rendered chart" \
    "$(output helm template release --plain-http "oci://$plain/helm/charts/greeter" --version 1.3.0)" '  greeting: "hello"'
run helm pull --plain-http -d "$work/by-digest" "oci://$plain/helm/charts/greeter@$pushed"
run cmp "$chart" "$work/by-digest"/*.tgz
ok "show, template and pull, by range and by digest"

mkdir -p "$work/parent"
cat > "$work/parent/Chart.yaml" << YAML
apiVersion: v2
name: parent
version: 0.1.0
dependencies:
  - name: greeter
    version: 1.3.0
    repository: oci://$plain/helm/charts
YAML
run helm dependency update --plain-http "$work/parent"
run cmp "$work/packages/greeter-1.3.0.tgz" "$work/parent/charts/greeter-1.3.0.tgz"
ok "a chart that depends on one in the registry"

refused helm push "$chart" "oci://$tls/helm/charts"
refused helm push --ca-file "$ca" "$chart" "oci://$tls/helm/charts"
refused helm registry login --ca-file "$ca" -u "$user" -p wrong "$tls"
run helm registry login --ca-file "$ca" -u "$user" --password-stdin "$tls" <<< "$password"
run helm push --ca-file "$ca" "$chart" "oci://$tls/helm/charts"
run helm pull --ca-file "$ca" -d "$work/pulled-tls" "oci://$tls/helm/charts/greeter" --version 1.2.3+build.7
run cmp "$chart" "$work/pulled-tls/greeter-1.2.3+build.7.tgz"
run helm registry logout "$tls"
refused helm pull --ca-file "$ca" -d "$work/never" "oci://$tls/helm/charts/greeter" --version 1.2.3+build.7
ok "login, push and pull over TLS"

serve_tokens tokens
mkdir "$work"/{pulled-public,pulled-tokens}
charts="oci://$tokened/helm/charts"
login() { run helm registry login --ca-file "$ca" -u "$1" --password-stdin "$tokened" <<< "$password"; }
refused helm push --ca-file "$ca" "$chart" "$charts"
refused helm registry login --ca-file "$ca" -u "$user" -p wrong "$tokened"
login "$user"
run helm push --ca-file "$ca" "$chart" "$charts"
run helm push --ca-file "$ca" "$chart" "oci://$tokened/public"
run helm registry logout "$tokened"
run helm pull --ca-file "$ca" -d "$work/pulled-public" "oci://$tokened/public/greeter" --version 1.2.3+build.7
run cmp "$chart" "$work/pulled-public/greeter-1.2.3+build.7.tgz"
refused helm pull --ca-file "$ca" -d "$work/never" "$charts/greeter" --version 1.2.3+build.7
login "$reader"
run helm pull --ca-file "$ca" -d "$work/pulled-tokens" "$charts/greeter" --version 1.2.3+build.7
run cmp "$chart" "$work/pulled-tokens/greeter-1.2.3+build.7.tgz"
refused_for_scope helm push --ca-file "$ca" "$work/packages/greeter-1.3.0.tgz" "$charts"
ok "login, push and pull by tokens, without a login what is public, and a reader is told why it cannot push"
