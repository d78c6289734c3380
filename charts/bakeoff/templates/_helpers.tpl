{{- define "bakeoff.fullname" -}}
{{- if .Values.fullnameOverride -}}
{{- .Values.fullnameOverride | trunc 52 | trimSuffix "-" -}}
{{- else -}}
{{- $name := default .Chart.Name .Values.nameOverride -}}
{{- if contains $name .Release.Name -}}
{{- .Release.Name | trunc 52 | trimSuffix "-" -}}
{{- else -}}
{{- printf "%s-%s" .Release.Name $name | trunc 52 | trimSuffix "-" -}}
{{- end -}}
{{- end -}}
{{- end -}}

{{- define "bakeoff.selectorLabels" -}}
app.kubernetes.io/name: {{ default .Chart.Name .Values.nameOverride | trunc 63 | trimSuffix "-" }}
app.kubernetes.io/instance: {{ .Release.Name }}
app.kubernetes.io/component: operator
{{- end -}}

{{- define "bakeoff.labels" -}}
{{ include "bakeoff.selectorLabels" . }}
app.kubernetes.io/part-of: bakeoff
app.kubernetes.io/version: {{ .Chart.AppVersion | quote }}
app.kubernetes.io/managed-by: {{ .Release.Service }}
helm.sh/chart: {{ printf "%s-%s" .Chart.Name .Chart.Version | replace "+" "_" }}
{{- end -}}

{{- define "bakeoff.serviceAccountName" -}}
{{- if .Values.serviceAccount.create -}}
{{- default (include "bakeoff.fullname" .) .Values.serviceAccount.name -}}
{{- else -}}
{{- required "serviceAccount.name is not set: with serviceAccount.create=false, name the account that the operator runs as" .Values.serviceAccount.name -}}
{{- end -}}
{{- end -}}

{{/* Reference of an image. Takes a dict: image, path (of the value), name (as it is built), chart. */}}
{{- define "bakeoff.image" -}}
{{- if not .image.repository -}}
{{- fail (printf "%s.repository is not set: there is no public image. Build and push yours with `deploy/images/build.sh --registry REGISTRY --tag %s --push`, then pass --set %s.repository=REGISTRY/%s" .path .chart.AppVersion .path .name) -}}
{{- end -}}
{{- $repository := default "" .image.repository -}}
{{- if .image.digest -}}
{{- printf "%s@%s" $repository .image.digest -}}
{{- else -}}
{{- printf "%s:%s" $repository (default .chart.AppVersion .image.tag) -}}
{{- end -}}
{{- end -}}

{{/* Rights in the namespaces of runs. No Secrets, no pod logs. */}}
{{- define "bakeoff.namespacedRules" -}}
- apiGroups: [bakeoff.dev]
  resources: [benchmarkruns]
  verbs: [get, list, watch, delete] # delete: cleanup.ttlAfterFinished
- apiGroups: [bakeoff.dev]
  resources: [benchmarkruns/status]
  verbs: [patch]
- apiGroups: [""]
  resources: [pods]
  verbs: [list, watch, create, patch, delete]
- apiGroups: [batch]
  resources: [jobs]
  verbs: [list, watch, create, patch, delete]
- apiGroups: [""]
  resources: [configmaps]
  verbs: [get, create, patch, delete]
- apiGroups: [""]
  resources: [services]
  verbs: [create, patch, delete]
- apiGroups: [""]
  resources: [persistentvolumeclaims]
  verbs: [create, patch] # model.prefetch: the volume of the model, which the operator never deletes
- apiGroups: [events.k8s.io]
  resources: [events]
  verbs: [create]
- apiGroups: [""]
  resources: [events]
  verbs: [list] # why a volume cannot be mounted, which no pod's status says
- apiGroups: [monitoring.googleapis.com]
  resources: [podmonitorings]
  verbs: [create, patch, delete]
- apiGroups: [monitoring.coreos.com]
  resources: [podmonitors]
  verbs: [create, patch, delete]
{{- range .Values.rbac.engineKinds }}
- apiGroups: [{{ .group | quote }}]
  resources: [{{ .resource | quote }}]
  verbs: [list, create, patch, delete] # engines that are no lone Pods
{{- end }}
{{- end -}}

{{/* Rights on cluster-scoped kinds, whatever the scope. */}}
{{- define "bakeoff.clusterRules" -}}
- apiGroups: [bakeoff.dev]
  resources: [engineprofiles]
  verbs: [list]
{{- if .Values.rbac.nodes }}
- apiGroups: [""]
  resources: [nodes]
  verbs: [get, list] # to see when an engine's node is lost, and whether there is one before
{{- end }}
{{- if .Values.rbac.neighbours }}
- apiGroups: [""]
  resources: [pods]
  verbs: [list] # of all namespaces, by spec.nodeName: who shares an engine's node
{{- end }}
{{- end -}}
