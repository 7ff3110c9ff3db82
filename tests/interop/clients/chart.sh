#!/usr/bin/env bash
# The chart for Kubernetes: helm lints and renders it, and the registry serves with the configuration that comes out, at the paths
# and ports that the pod's probes ask.

# shellcheck source=tests/interop/lib.sh
. "$(dirname "${BASH_SOURCE[0]}")/../lib.sh"
isolate "$0" "$@"
need helm crane openssl htpasswd curl nginx
chart="$repo/deploy/chart"

# config VALUES: the file that the pod is given.
config() {
    output helm template images "$chart" -f "$1" --show-only templates/configmap.yaml | sed -n '/^  config.yml: |$/,$p' | sed -e 1d -e 's/^    //'
}

# has WHAT VALUES LINE: a rendered document has this line.
has() {
    contains "$1" "$(output helm template images "$chart" -f "$2" | sed 's/^ *//')" "$3"
}

# annotation NAME: of the ingress.
annotation() {
    output helm template images "$chart" -f "$chart/ci/one-pod.yaml" --show-only templates/ingress.yaml | sed -nE "s|^ *nginx.ingress.kubernetes.io/$1: \"?([^\"]*)\"?$|\1|p"
}

for values in "$chart"/ci/*.yaml; do
    run helm lint --strict "$chart" -f "$values"
    rendered="$(output helm template images "$chart" -f "$values")"
    for kind in ConfigMap Deployment Service; do contains "$values" "$rendered" "kind: $kind"; done
    contains "$values" "$(sed 's/^ *//' <<< "$rendered")" 'httpGet: {path: /debug/ready, port: debug}'
done
ok "lint and rendering with each file of values"

refused helm template images "$chart" --set replicas=2
refused helm template images "$chart" --set persistence.enabled=false
has "one pod" "$chart/ci/one-pod.yaml" 'strategy: {type: Recreate}'
has "three pods" "$chart/ci/three-pods.yaml" 'kind: PodDisruptionBudget'
ok "what would lose data is not rendered"

# What the pod has at these paths: secrets of the cluster, a volume.
make_credentials
mkdir -p "$work"/pod/{tls,htpasswd,secrets,data}
cp "$work/pki/server.crt" "$work/pod/tls/tls.crt"
cp "$work/pki/server.key" "$work/pod/tls/tls.key"
cp "$work/pki/htpasswd" "$work/pod/htpasswd/htpasswd"
output env -u REGISTRY_BIN -u REGISTRY_CONFIG "$REGISTRY_BIN" secrets key > "$work/pod/secrets/key"
chmod 600 "$work/pod/secrets/key"
mkdir "$work/etc"
cp -a /etc/. "$work/etc"
mount --bind "$work/etc" /etc
for secret in tls htpasswd secrets; do ln -s "$work/pod/$secret" "/etc/registry-$secret"; done

for values in one-pod three-pods; do
    config "$chart/ci/$values.yaml" > "$work/$values.yml"
    run env -u REGISTRY_BIN -u REGISTRY_CONFIG "$REGISTRY_BIN" check-config "$work/$values.yml"
done
ok "check-config finds nothing wrong with what is rendered"

env -u REGISTRY_BIN -u REGISTRY_CONFIG "REGISTRY_STORAGE_FILESYSTEM_ROOTDIRECTORY=$work/pod/data" "REGISTRY_HTTP_HOST=https://$tls_host" \
    "$REGISTRY_BIN" serve "$work/one-pod.yml" > "$work/pod.log" 2>&1 &
pid=$!
wait_for "the pod is ready" curl -fsS http://127.0.0.1:5001/debug/ready
run curl -fsS http://127.0.0.1:5001/metrics

# What stands for the ingress, told what the chart's annotations tell it.
cat > "$work/nginx.conf" << NGINX
error_log $work/nginx.log;
pid $work/nginx.pid;
events {}
http {
    access_log off;
    server {
        listen [$tls_address]:443 ssl;
        ssl_certificate $work/pki/server.crt;
        ssl_certificate_key $work/pki/server.key;
        client_max_body_size $(annotation proxy-body-size);
        proxy_request_buffering $(annotation proxy-request-buffering);
        proxy_read_timeout $(annotation proxy-read-timeout);
        location / { proxy_pass http://127.0.0.1:5000; proxy_set_header Host \$http_host; proxy_set_header X-Forwarded-Proto https; }
    }
}
NGINX
run nginx -c "$work/nginx.conf"
trust_ca
oci_layout "$work/layout" v1 > /dev/null
run crane auth login "$tls_host" -u "$user" -p "$password"
run crane push --index "$work/layout" "$tls_host/app:v1"
run crane validate --remote "$tls_host/app:v1"
kill -TERM "$pid"
wait "$pid"
ok "the pod's probes, a push through an ingress, and a stop, with the rendered configuration"
