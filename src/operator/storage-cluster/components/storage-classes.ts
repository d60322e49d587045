import type { Manifest } from '../kubernetes-types.js';
import { driverName, names } from '../names.js';
import { clusterMeta, type Component, type Plan } from '../plan.js';

/** The classes that users of this resource expect to find. */
export const storageClasses: Component = (plan) => {
  if (!plan.csi.enabled || !plan.defaultStorageClasses) return [];
  return [
    storageClass(plan, 'px-csi-db', { repl: '3' }),
    storageClass(plan, 'px-csi-replicated', { repl: '2' }),
    ...(plan.api.snapshots ? [snapshotClass(plan)] : []),
  ];
};

function storageClass(plan: Plan, name: string, parameters: Record<string, string>): Manifest {
  return {
    apiVersion: 'storage.k8s.io/v1',
    kind: 'StorageClass',
    metadata: clusterMeta(plan, name, 'csi-controller'),
    provisioner: driverName,
    parameters,
    allowVolumeExpansion: true,
    reclaimPolicy: 'Delete',
    volumeBindingMode: 'Immediate',
  };
}

function snapshotClass(plan: Plan): Manifest {
  return {
    apiVersion: 'snapshot.storage.k8s.io/v1',
    kind: 'VolumeSnapshotClass',
    metadata: clusterMeta(plan, names.snapshotClass, 'csi-controller'),
    driver: driverName,
    deletionPolicy: 'Delete',
    parameters: { 'csi.openstorage.org/snapshot-type': 'local' },
  };
}
