import { createHash } from 'node:crypto';
import type { StorageCluster } from '../../crds/storage-cluster.js';
import { annotationKeys } from './names.js';

const form = /^[A-Za-z0-9._-]{1,63}$/;

/**
 * The `clusterid` under which the data plane keeps its records. It must be the
 * same when the StorageCluster is deleted and applied again, so it is made of
 * the name and of the Kubernetes cluster's identity, not of the object's own.
 */
export function clusterIdOf(cluster: StorageCluster, kubernetesUid: string): string {
  // What the nodes were told once stays: another id would be another, empty, cluster.
  const decided = cluster.status?.clusterName;
  if (decided !== undefined && decided !== '') return decided;
  return askedClusterId(cluster) ?? generated(cluster.metadata.name, kubernetesUid);
}

function askedClusterId(cluster: StorageCluster): string | undefined {
  const asked = cluster.metadata.annotations?.[annotationKeys.clusterId];
  return asked === undefined || asked === '' ? undefined : asked;
}

export function clusterIdProblem(cluster: StorageCluster): string | undefined {
  const asked = askedClusterId(cluster);
  if (asked === undefined) return undefined;
  const where = `metadata.annotations[${annotationKeys.clusterId}]`;
  if (!form.test(asked)) {
    return `${where}: "${asked}" must be 1 to 63 letters, digits, ".", "_" or "-"`;
  }
  const decided = cluster.status?.clusterName;
  if (decided === undefined || decided === '' || decided === asked) return undefined;
  return `${where}: cannot change from ${decided} to ${asked}, the volumes belong to the first`;
}

function generated(name: string, kubernetesUid: string): string {
  const digest = createHash('sha256').update(kubernetesUid).digest('hex').slice(0, 12);
  return `${name.slice(0, 48)}-${digest}`;
}
