{{/* The pod of one role. Arguments: root, role ("server" or "collector"), values (the role's part). */}}
{{- define "crossmarket.pod" -}}
{{- $root := .root -}}
{{- $values := $root.Values -}}
{{- $role := .role -}}
{{- $selector := merge (dict "app.kubernetes.io/component" $role) (include "crossmarket.selectorLabels" $root | fromYaml) -}}
{{- $tlsSecret := ternary (include "crossmarket.tls.secret" $root) "" (eq $role "server") -}}
{{- $clientCa := ternary $values.tls.clientCa.existingSecret "" (ne $tlsSecret "") -}}
{{- $clients := ternary $values.security.clients.existingSecret "" (eq $role "server") -}}
{{- $jwks := ternary $values.security.jwks.existingConfigMap "" (eq $role "server") -}}
{{- $passwordSecret := ternary $values.redis.existingSecret.name "" (ne $values.redis.url "") -}}
metadata:
  labels:
    {{- include "crossmarket.podLabels" $root | nindent 4 }}
    app.kubernetes.io/component: {{ $role }}
    {{- with .values.podLabels }}
    {{- toYaml . | nindent 4 }}
    {{- end }}
  annotations:
    # A pod reads its settings once, so changed settings need a new pod.
    checksum/config: {{ include "crossmarket.settings" (dict "root" $root "role" $role) | sha256sum }}
    {{- with $values.redis.existingSecret.name }}
    # Empty when the chart is rendered without a cluster to look the Secret up in.
    checksum/redis-secret: {{ dig "data" (dict) (lookup "v1" "Secret" $root.Release.Namespace .) | toJson | sha256sum }}
    {{- end }}
    {{- with .values.podAnnotations }}
    {{- toYaml . | nindent 4 }}
    {{- end }}
spec:
  serviceAccountName: {{ include "crossmarket.serviceAccountName" $root }}
  automountServiceAccountToken: false
  enableServiceLinks: false
  terminationGracePeriodSeconds: {{ add $values.shutdown.preStopSeconds $values.shutdown.graceSeconds 5 }}
  securityContext:
    {{- include "crossmarket.podSecurity" (dict "user" 65532) | nindent 4 }}
  {{- with $values.image.pullSecrets }}
  imagePullSecrets:
    {{- range . }}
    - name: {{ . }}
    {{- end }}
  {{- end }}
  {{- with .values.priorityClassName }}
  priorityClassName: {{ . }}
  {{- end }}
  {{- with .values.nodeSelector }}
  nodeSelector:
    {{- toYaml . | nindent 4 }}
  {{- end }}
  {{- with .values.tolerations }}
  tolerations:
    {{- toYaml . | nindent 4 }}
  {{- end }}
  {{- with .values.affinity }}
  affinity:
    {{- toYaml . | nindent 4 }}
  {{- end }}
  {{- if ne .values.topologySpread "off" }}
  topologySpreadConstraints:
    {{- $unsatisfiable := ternary "DoNotSchedule" "ScheduleAnyway" (eq .values.topologySpread "required") }}
    {{- range list "kubernetes.io/hostname" "topology.kubernetes.io/zone" }}
    - maxSkew: 1
      topologyKey: {{ . }}
      whenUnsatisfiable: {{ $unsatisfiable }}
      labelSelector:
        matchLabels:
          {{- toYaml $selector | nindent 10 }}
      matchLabelKeys: [pod-template-hash]
    {{- end }}
  {{- end }}
  containers:
    - name: {{ $role }}
      image: {{ include "crossmarket.image" $root | quote }}
      imagePullPolicy: {{ $values.image.pullPolicy }}
      args: [serve, --role, {{ $role }}, --config, /etc/crossmarket/crossmarket.toml]
      securityContext:
        {{- include "crossmarket.containerSecurity" $root | nindent 8 }}
      {{- $secretUrl := and (not $values.redis.url) $values.redis.existingSecret.name }}
      {{- if or $secretUrl $values.telemetry.otlpEndpoint .values.extraEnv }}
      env:
        {{- if $secretUrl }}
        - name: CROSSMARKET__STORE__URL
          valueFrom:
            secretKeyRef:
              name: {{ $values.redis.existingSecret.name }}
              key: {{ $values.redis.existingSecret.urlKey }}
        {{- end }}
        {{- if $values.telemetry.otlpEndpoint }}
        - name: POD_NAME
          valueFrom:
            fieldRef:
              fieldPath: metadata.name
        - name: OTEL_SERVICE_NAME
          value: {{ printf "crossmarket-%s" $role }}
        - name: OTEL_RESOURCE_ATTRIBUTES
          value: {{ printf "service.instance.id=$(POD_NAME),k8s.pod.name=$(POD_NAME),k8s.namespace.name=%s" $root.Release.Namespace }}
        {{- end }}
        {{- with .values.extraEnv }}
        {{- toYaml . | nindent 8 }}
        {{- end }}
      {{- end }}
      ports:
        {{- if eq $role "server" }}
        - name: grpc
          containerPort: 50051
        {{- end }}
        - name: admin
          containerPort: 9090
      startupProbe:
        httpGet:
          path: /livez
          port: admin
        periodSeconds: 1
        failureThreshold: 60
      livenessProbe:
        httpGet:
          path: /livez
          port: admin
        periodSeconds: 10
        timeoutSeconds: 3
        failureThreshold: 3
      readinessProbe:
        {{- $loaded := eq $values.server.readiness "loaded" }}
        {{- if eq $role "collector" }}
        httpGet:
          path: /readyz
          port: admin
        {{- else if $tlsSecret }}
        # Native gRPC probes do not support TLS.
        httpGet:
          path: {{ ternary "/readyz?stale=ok" "/readyz" $loaded }}
          port: admin
        {{- else }}
        grpc:
          port: 50051
          # The catalogue is served as soon as the image is loaded; the process as a whole while a price is fresh.
          service: {{ ternary "crossmarket.v1.CatalogService" "" $loaded | quote }}
        {{- end }}
        periodSeconds: 5
        timeoutSeconds: 3
        failureThreshold: 3
      {{- if and (eq $role "server") $values.shutdown.preStopSeconds }}
      lifecycle:
        preStop:
          sleep:
            seconds: {{ $values.shutdown.preStopSeconds }}
      {{- end }}
      resources:
        {{- toYaml .values.resources | nindent 8 }}
      volumeMounts:
        - name: config
          mountPath: /etc/crossmarket/crossmarket.toml
          subPath: crossmarket.toml
          readOnly: true
        {{- if $passwordSecret }}
        - name: redis
          mountPath: /etc/crossmarket/redis
          readOnly: true
        {{- end }}
        {{- if $values.redis.tlsCa.existingSecret }}
        - name: redis-ca
          mountPath: /etc/crossmarket/redis-ca
          readOnly: true
        {{- end }}
        {{- if $tlsSecret }}
        - name: tls
          mountPath: /etc/crossmarket/tls
          readOnly: true
        {{- end }}
        {{- if $clientCa }}
        - name: client-ca
          mountPath: /etc/crossmarket/client-ca
          readOnly: true
        {{- end }}
        {{- if $clients }}
        - name: clients
          mountPath: /etc/crossmarket/clients
          readOnly: true
        {{- end }}
        {{- if $jwks }}
        - name: jwks
          mountPath: /etc/crossmarket/jwks
          readOnly: true
        {{- end }}
  volumes:
    - name: config
      configMap:
        name: {{ include "crossmarket.fullname" $root }}-{{ $role }}
    {{- if $passwordSecret }}
    - name: redis
      secret:
        secretName: {{ $passwordSecret }}
        defaultMode: 0440
        items:
          - key: {{ $values.redis.existingSecret.passwordKey }}
            path: password
    {{- end }}
    {{- with $values.redis.tlsCa.existingSecret }}
    - name: redis-ca
      secret:
        secretName: {{ . }}
        defaultMode: 0440
        items:
          - key: {{ $values.redis.tlsCa.key }}
            path: ca.crt
    {{- end }}
    {{- if $tlsSecret }}
    - name: tls
      secret:
        secretName: {{ $tlsSecret }}
        defaultMode: 0440
    {{- end }}
    {{- if $clientCa }}
    - name: client-ca
      secret:
        secretName: {{ $clientCa }}
        defaultMode: 0440
        items:
          - key: {{ $values.tls.clientCa.key }}
            path: ca.crt
    {{- end }}
    {{- with $clients }}
    - name: clients
      secret:
        secretName: {{ . }}
        defaultMode: 0440
        items:
          - key: {{ $values.security.clients.key }}
            path: clients.toml
    {{- end }}
    {{- with $jwks }}
    - name: jwks
      configMap:
        name: {{ . }}
        items:
          - key: {{ $values.security.jwks.key }}
            path: jwks.json
    {{- end }}
{{- end }}
