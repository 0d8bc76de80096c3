{{- define "crossmarket.name" -}}
{{- default .Chart.Name .Values.nameOverride | trunc 63 | trimSuffix "-" -}}
{{- end }}

{{/* Short enough for the longest suffix, "-server-headless". */}}
{{- define "crossmarket.fullname" -}}
{{- if .Values.fullnameOverride -}}
{{- .Values.fullnameOverride | trunc 47 | trimSuffix "-" -}}
{{- else -}}
{{- $name := include "crossmarket.name" . -}}
{{- if contains $name .Release.Name -}}
{{- .Release.Name | trunc 47 | trimSuffix "-" -}}
{{- else -}}
{{- printf "%s-%s" .Release.Name $name | trunc 47 | trimSuffix "-" -}}
{{- end -}}
{{- end -}}
{{- end }}

{{- define "crossmarket.selectorLabels" -}}
app.kubernetes.io/name: {{ include "crossmarket.name" . }}
app.kubernetes.io/instance: {{ .Release.Name }}
{{- end }}

{{- define "crossmarket.labels" -}}
helm.sh/chart: {{ printf "%s-%s" .Chart.Name .Chart.Version | replace "+" "_" | trunc 63 | trimSuffix "-" }}
{{ include "crossmarket.selectorLabels" . }}
app.kubernetes.io/version: {{ .Chart.AppVersion | quote }}
app.kubernetes.io/managed-by: {{ .Release.Service }}
{{- with .Values.commonLabels }}
{{ toYaml . }}
{{- end }}
{{- end }}

{{/* Without versions, so that a new version of the chart alone restarts nothing. */}}
{{- define "crossmarket.podLabels" -}}
{{ include "crossmarket.selectorLabels" . }}
{{- with .Values.commonLabels }}
{{ toYaml . }}
{{- end }}
{{- end }}

{{- define "crossmarket.serviceAccountName" -}}
{{- if .Values.serviceAccount.create -}}
{{- default (include "crossmarket.fullname" .) .Values.serviceAccount.name -}}
{{- else -}}
{{- default "default" .Values.serviceAccount.name -}}
{{- end -}}
{{- end }}

{{- define "crossmarket.image" -}}
{{- if .Values.image.digest -}}
{{- printf "%s@%s" .Values.image.repository .Values.image.digest -}}
{{- else -}}
{{- printf "%s:%s" .Values.image.repository (default .Chart.AppVersion .Values.image.tag) -}}
{{- end -}}
{{- end }}

{{/* "true" when the bundled Valkey runs; fails when there would be no store at all. */}}
{{- define "crossmarket.redis.isBundled" -}}
{{- if not (or .Values.redis.url .Values.redis.existingSecret.name) -}}
{{- if not .Values.redis.bundled.enabled -}}
{{- fail "servers and collectors need a Redis that they share: set redis.url or redis.existingSecret.name, or leave redis.bundled.enabled on" -}}
{{- end -}}
true
{{- end -}}
{{- end }}

{{/* Where the store is; empty when the whole URL comes from a Secret. */}}
{{- define "crossmarket.redis.url" -}}
{{- if include "crossmarket.redis.isBundled" . -}}
{{- printf "redis://%s-redis:6379" (include "crossmarket.fullname" .) -}}
{{- else -}}
{{- .Values.redis.url -}}
{{- end -}}
{{- end }}

{{/* The name of the Secret with the server's certificate; empty without TLS. */}}
{{- define "crossmarket.tls.secret" -}}
{{- if .Values.tls.enabled -}}
{{- if .Values.tls.existingSecret -}}
{{- .Values.tls.existingSecret -}}
{{- else if .Values.tls.certManager.enabled -}}
{{- printf "%s-tls" (include "crossmarket.fullname" .) -}}
{{- else -}}
{{- fail "tls.enabled needs tls.existingSecret or tls.certManager.enabled" -}}
{{- end -}}
{{- end -}}
{{- end }}

{{/* "true" when clients with keys are configured, in the Secret or in `config`. */}}
{{- define "crossmarket.hasClients" -}}
{{- if or .Values.security.clients.existingSecret (dig "security" "clients" dict .Values.config) -}}
true
{{- end -}}
{{- end }}

{{/* "true" when the hook of `helm test` is created: it has no certificate and no token, and a key only if one is configured. */}}
{{- define "crossmarket.tests.areMade" -}}
{{- $mutual := and .Values.tls.enabled .Values.tls.clientCa.existingSecret -}}
{{- $clients := include "crossmarket.hasClients" . -}}
{{- $refused := or (and $clients (not .Values.tests.apiKey.existingSecret)) (and .Values.security.jwks.existingConfigMap (not $clients)) -}}
{{- if and .Values.tests.enabled (not $mutual) (not $refused) -}}
true
{{- end -}}
{{- end }}

{{/* A TOML line for each setting in a tree, with dotted keys; scalars as strings, which every setting accepts. */}}
{{- define "crossmarket.toml" -}}
{{- $prefix := .prefix -}}
{{- range $key, $value := .tree }}
{{- $name := ternary $key (printf "%s.%s" $prefix $key) (empty $prefix) }}
{{- if kindIs "map" $value }}
{{- include "crossmarket.toml" (dict "prefix" $name "tree" $value) }}
{{- else if kindIs "slice" $value }}
{{ $name }} = [{{ range $index, $item := $value }}{{ if $index }}, {{ end }}{{ include "crossmarket.toml.scalar" $item }}{{ end }}]
{{- else }}
{{ $name }} = {{ include "crossmarket.toml.scalar" $value }}
{{- end }}
{{- end }}
{{- end }}

{{/* Numbers arrive as floating point: a whole one must not become 1e+06. */}}
{{- define "crossmarket.toml.scalar" -}}
{{- if and (kindIs "float64" .) (eq (floor .) .) -}}
{{- int64 . | toString | toJson -}}
{{- else -}}
{{- toString . | toJson -}}
{{- end -}}
{{- end }}

{{/* The settings of one role, as a TOML file. What the chart sets takes precedence over `config`. */}}
{{- define "crossmarket.settings" -}}
{{- $root := .root -}}
{{- $values := $root.Values -}}
{{- $store := dict -}}
{{- with include "crossmarket.redis.url" $root }}{{- $_ := set $store "url" . }}{{- end -}}
{{- with $values.redis.username }}{{- $_ := set $store "username" . }}{{- end -}}
{{- if and $values.redis.url $values.redis.existingSecret.name }}{{- $_ := set $store "password_file" "/etc/crossmarket/redis/password" }}{{- end -}}
{{- with $values.redis.tlsCa.existingSecret }}{{- $_ := set $store "tls_ca_file" "/etc/crossmarket/redis-ca/ca.crt" }}{{- end -}}
{{- $telemetry := dict "log" $values.telemetry.log "log_format" $values.telemetry.logFormat -}}
{{- with $values.telemetry.otlpEndpoint }}
{{- $_ := set $telemetry "otlp_endpoint" . }}
{{- $_ := set $telemetry "otlp_protocol" $values.telemetry.otlpProtocol }}
{{- $_ := set $telemetry "sampler" $values.telemetry.sampler }}
{{- $_ := set $telemetry "sample_ratio" $values.telemetry.sampleRatio }}
{{- end -}}
{{- $own := dict "admin" (dict "listen" "0.0.0.0:9090") "collector" (dict "shards" $values.shards) "store" $store "telemetry" $telemetry "shutdown" (dict "grace_s" $values.shutdown.graceSeconds) -}}
{{- if eq .role "server" -}}
{{- $_ := set $own "grpc" (dict "listen" "0.0.0.0:50051") -}}
{{- $security := dict -}}
{{- if $values.tls.enabled -}}
{{- $tls := dict "certificate_file" "/etc/crossmarket/tls/tls.crt" "key_file" "/etc/crossmarket/tls/tls.key" -}}
{{- if $values.tls.clientCa.existingSecret }}{{- $_ := set $tls "client_ca_file" "/etc/crossmarket/client-ca/ca.crt" }}{{- end -}}
{{- $_ := set $security "tls" $tls -}}
{{- end -}}
{{- if $values.security.clients.existingSecret }}{{- $_ := set $security "clients_file" "/etc/crossmarket/clients/clients.toml" }}{{- end -}}
{{- if $values.security.jwks.existingConfigMap }}{{- $_ := set $security "jwt" (dict "jwks_file" "/etc/crossmarket/jwks/jwks.json") }}{{- end -}}
{{- if $security }}{{- $_ := set $own "security" $security }}{{- end -}}
{{- end -}}
{{- $config := deepCopy $values.config -}}
{{- /* Collectors answer no calls, so they get no clients. */ -}}
{{- if ne .role "server" }}{{- $_ := unset $config "security" }}{{- end -}}
{{- include "crossmarket.toml" (dict "prefix" "" "tree" (mergeOverwrite $config $own)) | trim -}}
{{- end }}

{{- define "crossmarket.containerSecurity" -}}
allowPrivilegeEscalation: false
readOnlyRootFilesystem: true
runAsNonRoot: true
capabilities:
  drop: [ALL]
seccompProfile:
  type: RuntimeDefault
{{- end }}

{{- define "crossmarket.podSecurity" -}}
runAsNonRoot: true
runAsUser: {{ .user }}
runAsGroup: {{ .user }}
fsGroup: {{ .user }}
fsGroupChangePolicy: OnRootMismatch
seccompProfile:
  type: RuntimeDefault
{{- end }}
