import type { StorageCluster } from '../crds/storage-cluster.js';
import type { KubeCache } from './ports.js';

/**
 * The StorageCluster that counts: the oldest, as a second one is refused. By
 * name when both are of the same second, so that every part chooses the same.
 */
export function activeCluster(
  clusters: Pick<KubeCache<StorageCluster>, 'all'>,
): StorageCluster | undefined {
  return [...clusters.all()].sort(byAge)[0];
}

function byAge(one: StorageCluster, other: StorageCluster): number {
  const [a, b] = [one, other].map(
    ({ metadata }) =>
      `${metadata.creationTimestamp ?? ''} ${metadata.namespace ?? ''}/${metadata.name}`,
  ) as [string, string];
  return a < b ? -1 : 1;
}
