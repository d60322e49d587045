import type { KubeObject, Resource } from '../ports.js';
import { labelKeys, names } from './names.js';

export interface Found {
  readonly resource: Resource;
  readonly object: KubeObject;
}

/**
 * What was made for this cluster and is no longer wanted. Both labels must be
 * there: an object that only looks like ours stays.
 */
export function superfluous(
  found: readonly Found[],
  wanted: readonly KubeObject[],
  clusterName: string,
): readonly Found[] {
  const keep = new Set(wanted.map(keyOf));
  return found.filter(
    ({ object }) =>
      belongsTo(object, clusterName) &&
      !keep.has(keyOf(object)) &&
      !isKept(object) &&
      object.metadata.deletionTimestamp === undefined,
  );
}

function belongsTo({ metadata }: KubeObject, clusterName: string): boolean {
  const labels = metadata.labels ?? {};
  return labels[labelKeys.managedBy] === 'px-operator' && labels[labelKeys.cluster] === clusterName;
}

/** Which nodes hold the key-value store outlives the StorageCluster, as what they hold does. */
function isKept({ kind, metadata }: KubeObject): boolean {
  return kind === 'ConfigMap' && metadata.name === names.kvdb;
}

function keyOf({ kind, metadata }: KubeObject): string {
  return `${kind}/${metadata.namespace ?? ''}/${metadata.name}`;
}
