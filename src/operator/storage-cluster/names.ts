/** Names that the parts of the operator, the chart and people's scripts share. */

export const driverName = 'pxd.portworx.com';

export const names = {
  node: 'px-node',
  csiNode: 'px-csi-node',
  csiController: 'px-csi-controller',
  snapshotController: 'px-snapshot-controller',
  api: 'px-api',
  config: 'px-config',
  /** Which nodes carry the internal key-value store. */
  kvdb: 'px-kvdb',
  disruptionBudget: 'px-node',
  wipe: 'px-wipe',
  stop: 'px-stop',
  snapshotClass: 'px-csi-snapclass',
} as const;

export type ComponentName =
  'node' | 'csi-node' | 'csi-controller' | 'snapshot-controller' | 'wipe' | 'common';

export const labelKeys = {
  name: 'app.kubernetes.io/name',
  component: 'app.kubernetes.io/component',
  managedBy: 'app.kubernetes.io/managed-by',
  cluster: 'px.io/cluster',
} as const;

export const annotationKeys = {
  clusterId: 'portworx.io/cluster-id',
  miscArgs: 'portworx.io/misc-args',
  disableStorageClass: 'portworx.io/disable-storage-class',
  preflightCheck: 'portworx.io/preflight-check',
  reconcile: 'operator.libopenstorage.org/reconcile',
  /** On the StorageCluster: names of nodes whose state a deletion need not remove, by comma. */
  skipWipe: 'px.io/skip-wipe-of-nodes',
} as const;

export const finalizer = 'operator.libopenstorage.org/delete';

/** Where things lie inside the px-node container and on its host. */
export const paths = {
  dataDir: '/var/lib/px',
  runDir: '/run/px',
  socket: '/run/px/px-node.sock',
  configDir: '/etc/pwx',
  kvdbSecretDir: '/etc/px-kvdb',
  kubelet: '/var/lib/kubelet',
} as const;

/** Labels of everything that the operator makes for a cluster. */
export function objectLabels(clusterName: string, component: ComponentName) {
  return {
    [labelKeys.name]: 'px',
    [labelKeys.component]: component,
    [labelKeys.managedBy]: 'px-operator',
    [labelKeys.cluster]: clusterName,
  };
}

/** What selects the pods of a component; a selector can't be changed later, so it stays small. */
export function podLabels(component: ComponentName) {
  return { [labelKeys.name]: 'px', [labelKeys.component]: component };
}
