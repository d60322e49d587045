import type { Resource } from './kube-object.js';

/** The group of StorageCluster, StorageNode and StoragePolicy. */
export const pxApiGroup = 'core.libopenstorage.org';

function namespaced(apiVersion: string, kind: string, plural: string): Resource {
  return { apiVersion, kind, plural, namespaced: true };
}

function clusterWide(apiVersion: string, kind: string, plural: string): Resource {
  return { apiVersion, kind, plural, namespaced: false };
}

/** Every kind that the operator reads or writes. */
export const resources = {
  storageCluster: namespaced(`${pxApiGroup}/v1`, 'StorageCluster', 'storageclusters'),
  storageNode: namespaced(`${pxApiGroup}/v1`, 'StorageNode', 'storagenodes'),
  storagePolicy: clusterWide(`${pxApiGroup}/v1`, 'StoragePolicy', 'storagepolicies'),
  customResourceDefinition: clusterWide(
    'apiextensions.k8s.io/v1',
    'CustomResourceDefinition',
    'customresourcedefinitions',
  ),

  namespace: clusterWide('v1', 'Namespace', 'namespaces'),
  node: clusterWide('v1', 'Node', 'nodes'),
  pod: namespaced('v1', 'Pod', 'pods'),
  configMap: namespaced('v1', 'ConfigMap', 'configmaps'),
  secret: namespaced('v1', 'Secret', 'secrets'),
  service: namespaced('v1', 'Service', 'services'),
  serviceAccount: namespaced('v1', 'ServiceAccount', 'serviceaccounts'),
  persistentVolume: clusterWide('v1', 'PersistentVolume', 'persistentvolumes'),
  persistentVolumeClaim: namespaced('v1', 'PersistentVolumeClaim', 'persistentvolumeclaims'),

  daemonSet: namespaced('apps/v1', 'DaemonSet', 'daemonsets'),
  deployment: namespaced('apps/v1', 'Deployment', 'deployments'),
  controllerRevision: namespaced('apps/v1', 'ControllerRevision', 'controllerrevisions'),
  job: namespaced('batch/v1', 'Job', 'jobs'),
  podDisruptionBudget: namespaced('policy/v1', 'PodDisruptionBudget', 'poddisruptionbudgets'),

  role: namespaced('rbac.authorization.k8s.io/v1', 'Role', 'roles'),
  roleBinding: namespaced('rbac.authorization.k8s.io/v1', 'RoleBinding', 'rolebindings'),
  clusterRole: clusterWide('rbac.authorization.k8s.io/v1', 'ClusterRole', 'clusterroles'),
  clusterRoleBinding: clusterWide(
    'rbac.authorization.k8s.io/v1',
    'ClusterRoleBinding',
    'clusterrolebindings',
  ),

  storageClass: clusterWide('storage.k8s.io/v1', 'StorageClass', 'storageclasses'),
  csiDriver: clusterWide('storage.k8s.io/v1', 'CSIDriver', 'csidrivers'),
  csiNode: clusterWide('storage.k8s.io/v1', 'CSINode', 'csinodes'),
  volumeAttachment: clusterWide('storage.k8s.io/v1', 'VolumeAttachment', 'volumeattachments'),
  volumeSnapshotClass: clusterWide(
    'snapshot.storage.k8s.io/v1',
    'VolumeSnapshotClass',
    'volumesnapshotclasses',
  ),

  lease: namespaced('coordination.k8s.io/v1', 'Lease', 'leases'),
  priorityClass: clusterWide('scheduling.k8s.io/v1', 'PriorityClass', 'priorityclasses'),
  event: namespaced('events.k8s.io/v1', 'Event', 'events'),
} as const satisfies Record<string, Resource>;
