{{- define "registry.name" -}}
{{- .Release.Name | trunc 52 | trimSuffix "-" -}}
{{- end }}

{{- define "registry.selector" -}}
app.kubernetes.io/name: registry
app.kubernetes.io/instance: {{ .Release.Name }}
{{- end }}

{{- define "registry.labels" -}}
{{ include "registry.selector" . }}
app.kubernetes.io/version: {{ .Chart.AppVersion | quote }}
app.kubernetes.io/managed-by: {{ .Release.Service }}
helm.sh/chart: {{ .Chart.Name }}-{{ .Chart.Version }}
{{- end }}

{{/* The configuration: what the values say counts over what `config` says, so that ports and probes agree. */}}
{{- define "registry.config" -}}
{{- $http := dict "addr" ":5000" "debug" (dict "addr" ":5001" "insecure" true "prometheus" (dict "enabled" true)) -}}
{{- if .Values.tls.secret -}}
{{- $_ := set $http "tls" (dict "certificate" "/etc/registry-tls/tls.crt" "key" "/etc/registry-tls/tls.key") -}}
{{- end -}}
{{- if .Values.ingress.enabled -}}
{{- $_ := set $http "host" (printf "%s://%s" (ternary "https" "http" (ne .Values.ingress.tlsSecret "")) .Values.ingress.host) -}}
{{- end -}}
{{- with .Values.trustedProxies -}}
{{- $_ := set $http "trustedproxies" . -}}
{{- end -}}
{{- $ours := dict "http" $http -}}
{{- if .Values.htpasswd.secret -}}
{{- $_ := set $ours "auth" (dict "htpasswd" (dict "realm" .Values.htpasswd.realm "path" "/etc/registry-htpasswd/htpasswd")) -}}
{{- end -}}
{{- if .Values.secretsKey.secret -}}
{{- $_ := set $ours "secrets" (dict "keyfile" "/etc/registry-secrets/key") -}}
{{- end -}}
{{- if .Values.persistence.enabled -}}
{{- $_ := set $ours "storage" (dict "filesystem" (dict "rootdirectory" "/var/lib/registry")) -}}
{{- end -}}
{{- toYaml (mergeOverwrite (deepCopy .Values.config) $ours) -}}
{{- end }}
