{{/*
What a JSON schema can't say in words that help: values whose neglect would lose data
or protection stop the installation, with what would be right.
*/}}
{{- define "px.checks" -}}
{{- $drives := include "px.set" .Values.drives }}
{{- range splitList ";" $drives }}
{{- if and (trim .) (not (hasPrefix "/" (trim .))) }}
{{- fail (printf "drives: %q is not a device. px asks no cloud for volumes: attach devices to the nodes and name them, as in \"/dev/sdb;/dev/sdc\", or say \"none\" for every unused device" (trim .)) }}
{{- end }}
{{- end }}
{{- $endpoints := include "px.set" .Values.etcdEndPoint }}
{{- if and (not .Values.internalKVDB) (not $endpoints) }}
{{- fail "internalKVDB is false, so etcdEndPoint must name an etcd, as in \"etcd:https://10.0.0.1:2379;etcd:https://10.0.0.2:2379\"" }}
{{- end }}
{{- range splitList ";" $endpoints }}
{{- if and (trim .) (not (regexMatch "^((etcd3?:)?https?://|etcd3?://)[^/@ ,]+/?$" (trim .))) }}
{{- fail (printf "etcdEndPoint: %q must have the form etcd:http://host:2379 or etcd:https://host:2379, several joined by \";\"; user and password belong into the Secret that kvdb.authSecretName names" (trim .)) }}
{{- end }}
{{- end }}
{{- if and (include "px.set" (default dict .Values.kvdb).authSecretName) (not $endpoints) }}
{{- fail "kvdb.authSecretName belongs to an external etcd: set etcdEndPoint, or leave both empty" }}
{{- end }}
{{- $etcd := default dict .Values.etcd }}
{{- range $name := list "credentials" "certPath" "ca" "cert" "key" }}
{{- $value := toString (default "none" (get $etcd $name)) }}
{{- if not (has $value (list "none" "none:none")) }}
{{- fail (printf "etcd.%s is not read: put it into a Secret in the namespace of the release (keys username, password, kvdb-ca.crt, kvdb.crt, kvdb.key) and name that in kvdb.authSecretName" $name) }}
{{- end }}
{{- end }}
{{- if include "px.set" (get (default dict .Values.consul) "token") }}
{{- fail "consul.token: px keeps its records in etcd; set etcdEndPoint, or internalKVDB=true" }}
{{- end }}
{{- end }}

{{/* Values of other charts that have no meaning here; each line goes into the notes. */}}
{{- define "px.notUsed" -}}
{{- $values := .Values }}
{{- $reasons := dict
  "provider" "px asks no cloud for volumes"
  "initialStorageNodes" "px asks no cloud for volumes"
  "maxStorageNodes" "px asks no cloud for volumes"
  "openshiftInstall" "px does the same on every Kubernetes"
  "isTargetOSCoreOS" "px does the same on every system"
  "pksInstall" "px does the same on every Kubernetes"
  "EKSInstall" "px does the same on every Kubernetes"
  "GKEInstall" "px does the same on every Kubernetes"
  "AKSInstall" "px does the same on every Kubernetes"
  "OKEInstall" "px does the same on every Kubernetes"
  "VKSInstall" "px does the same on every Kubernetes"
  "storeV2Install" "there is one store"
  "serviceType" "px-api is a ClusterIP Service"
  "licenseSecret" "px needs no licence"
  "pxfslibsUpdate" "px has no kernel module"
  "ocpDynamicPlugin" "px has no console yet"
  "migrateToKvdbTls" "set security.enabled"
  "taintBasedScheduling" "set tolerations"
  "clusterToken" "px has no token of the cluster"
  "componentK8sConfig" "labels and annotations of what the operator makes are fixed"
  "migrateToComponentK8sConfig" "labels and annotations of what the operator makes are fixed"
  "purePlatform" "px uses the devices of the nodes"
  "nonDisruptivek8sUpgrade" "the disruption budget keeps drains from taking two nodes"
  "skipHealthChecks" "an update always waits for health"
}}
{{- range $name, $reason := $reasons }}
{{- $value := get $values $name }}
{{- $off := or (empty $value) (has (toString $value) (list "none" "0")) }}
{{- if kindIs "map" $value }}{{ $off = not (or (get $value "enabled") (get $value "create") (get (default dict (get $value "fusion")) "enabled")) }}{{ end }}
{{- if not $off }}
  {{ $name }}: {{ $reason }}
{{- end }}
{{- end }}
{{- range $name := list "usedrivesAndPartitions" "journalDevice" "cacheDevices" "systemMetadataDevice" "kvdbDevice" "featureGates" }}
{{- if include "px.set" (get $values $name) }}
  {{ $name }}: passed on, and named in the condition FieldsSupported of the StorageCluster
{{- end }}
{{- end }}
{{- range $name := list "stork" "autopilot" }}
{{- if (get (default dict (get $values $name)) "enabled") }}
  {{ $name }}.enabled: not installed; the driver itself tells the scheduler where volumes are
{{- end }}
{{- end }}
{{- $monitoring := default dict $values.monitoring }}
{{- if (get (default dict (get $monitoring "prometheus")) "enabled") }}
  monitoring.prometheus.enabled: not installed; exportMetrics serves one that is there
{{- end }}
{{- if (get (default dict (get $monitoring "telemetry")) "enabled") }}
  monitoring.telemetry.enabled: px reports to nobody
{{- end }}
{{- end }}
