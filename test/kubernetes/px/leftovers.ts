import { waitFor } from '../../../tools/lib/wait.js';
import type { KubernetesCluster } from '../cluster/cluster.js';
import { listVolumes } from './volumes.js';

interface ListOf<T> {
  readonly items: readonly T[];
}

/** What is left of volumes: in px, in Kubernetes, and in the kernels of the nodes. */
async function findLeftovers(cluster: KubernetesCluster): Promise<string[]> {
  const left: string[] = [];
  for (const { locator } of await listVolumes(cluster)) left.push(`volume ${locator.name}`);
  const kinds = 'persistentvolumes,volumeattachments';
  const objects = await cluster.get<ListOf<{ kind: string; metadata: { name: string } }>>([kinds]);
  for (const { kind, metadata } of objects.items) left.push(`${kind} ${metadata.name}`);
  for (const { name } of cluster.nodes) {
    const mounts = await cluster.nodeExec(name, ['cat', '/proc/mounts']);
    for (const line of mounts.split('\n')) {
      const path = line.split(' ')[1] ?? '';
      const ofDriver = path.includes('/plugins/kubernetes.io/csi/pxd.portworx.com/');
      if (ofDriver || path.includes('/volumes/kubernetes.io~csi/')) {
        left.push(`mount ${path} on ${name}`);
      }
      if (line.startsWith('px-') && line.includes(' fuse')) left.push(`${line} on ${name}`);
    }
  }
  return left;
}

/** Everything that users made is gone, within a time: deletions take their turns. */
export async function waitNothingLeft(
  cluster: KubernetesCluster,
  timeoutMs: number,
): Promise<void> {
  let left: string[] = [];
  await waitFor('end of all volumes', timeoutMs, async () => {
    left = await findLeftovers(cluster);
    return left.length === 0 ? true : undefined;
  }).catch((error: unknown) => {
    throw new Error(`left behind: ${left.slice(0, 10).join('; ')}`, { cause: error });
  });
}
