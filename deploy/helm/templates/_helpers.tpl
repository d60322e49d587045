{{/* "none" and "" both mean that a value is not set, as in the charts people know. */}}
{{- define "px.set" -}}
{{- if and . (ne (toString .) "none") }}{{ . }}{{ end }}
{{- end }}

{{- define "px.selectorLabels" -}}
app.kubernetes.io/name: px
app.kubernetes.io/component: operator
app.kubernetes.io/instance: {{ .Release.Name }}
{{- end }}

{{- define "px.labels" -}}
app.kubernetes.io/name: px
app.kubernetes.io/instance: {{ .Release.Name }}
app.kubernetes.io/version: {{ .Chart.AppVersion | quote }}
app.kubernetes.io/managed-by: {{ .Release.Service }}
helm.sh/chart: {{ printf "%s-%s" .Chart.Name .Chart.Version }}
{{- end }}

{{/* The operator's image. customRegistryURL replaces the first part if it is a host. */}}
{{- define "px.image" -}}
{{- $repository := .Values.image.repository }}
{{- $registry := include "px.set" .Values.customRegistryURL | trimSuffix "/" }}
{{- if $registry }}
{{- $parts := splitList "/" $repository }}
{{- $first := first $parts }}
{{- if and (gt (len $parts) 1) (or (contains "." $first) (contains ":" $first) (eq $first "localhost")) }}
{{- $repository = join "/" (rest $parts) }}
{{- end }}
{{- $repository = printf "%s/%s" $registry $repository }}
{{- end }}
{{- printf "%s:%s" $repository (default .Chart.AppVersion .Values.pxOperatorImageVersion) }}
{{- end }}

{{- define "px.pullPolicy" -}}
{{- default "IfNotPresent" .Values.imagePullPolicy }}
{{- end }}

{{/* A values file may have set the group to null. */}}
{{- define "px.csi" -}}
{{- $enabled := (default dict .Values.csi).enabled }}
{{- if kindIs "invalid" $enabled }}true{{ else }}{{ $enabled }}{{ end }}
{{- end }}

{{- define "px.imagePullSecrets" -}}
{{- with include "px.set" .Values.registrySecret }}
imagePullSecrets:
  - name: {{ . }}
{{- end }}
{{- end }}

{{- define "px.podSecurity" -}}
runAsNonRoot: true
runAsUser: 65532
runAsGroup: 65532
seccompProfile:
  type: RuntimeDefault
{{- end }}

{{- define "px.containerSecurity" -}}
allowPrivilegeEscalation: false
readOnlyRootFilesystem: true
capabilities:
  drop: [ALL]
{{- end }}

{{/* "a=b;c=d" as a map in YAML; a map stays one. Values may contain "=". */}}
{{- define "px.pairs" -}}
{{- $pairs := dict }}
{{- if kindIs "map" . }}
{{- range $name, $value := . }}{{ $_ := set $pairs $name (toString $value) }}{{ end }}
{{- else }}
{{- range splitList ";" (include "px.set" .) }}
{{- $parts := splitn "=" 2 (trim .) }}
{{- if $parts._0 }}{{ $_ := set $pairs (trim $parts._0) (trim (default "" $parts._1)) }}{{ end }}
{{- end }}
{{- end }}
{{- toYaml $pairs }}
{{- end }}

{{/* "a;b" as a list in YAML. */}}
{{- define "px.list" -}}
{{- $items := list }}
{{- range splitList ";" (include "px.set" .) }}
{{- with trim . }}{{ $items = append $items . }}{{ end }}
{{- end }}
{{- toYaml $items }}
{{- end }}

{{/* What the pods of the Jobs around an installation have in common. */}}
{{- define "px.hookPod" -}}
serviceAccountName: {{ .name }}
enableServiceLinks: false
restartPolicy: Never
{{- include "px.imagePullSecrets" .root }}
securityContext:
  {{- include "px.podSecurity" .root | nindent 2 }}
  {{- with .fsGroup }}
  fsGroup: {{ . }}
  {{- end }}
{{- with .root.Values.operator.nodeSelector }}
nodeSelector:
  {{- toYaml . | nindent 2 }}
{{- end }}
tolerations:
  - key: node-role.kubernetes.io/control-plane
    operator: Exists
    effect: NoSchedule
  {{- with .root.Values.operator.tolerations }}
  {{- toYaml . | nindent 2 }}
  {{- end }}
{{- end }}

{{- define "px.hookContainer" -}}
image: {{ include "px.image" . }}
imagePullPolicy: {{ include "px.pullPolicy" . }}
env:
  - name: POD_NAMESPACE
    valueFrom:
      fieldRef:
        fieldPath: metadata.namespace
resources:
  requests:
    cpu: 20m
    memory: 96Mi
  limits:
    memory: 256Mi
securityContext:
  {{- include "px.containerSecurity" . | nindent 2 }}
{{- end }}
