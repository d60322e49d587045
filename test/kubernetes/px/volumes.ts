import { waitFor } from '../../../tools/lib/wait.js';
import type { KubernetesCluster } from '../cluster/cluster.js';
import { systemNamespace } from './install-px.js';

interface VolumeJson {
  readonly id: string;
  readonly locator: { readonly name: string };
  readonly status: string;
  readonly spec: { readonly ha_level: string };
  readonly replicas: readonly { readonly node_id: string; readonly state: string }[];
}

interface Pod {
  readonly metadata: { readonly name: string; readonly deletionTimestamp?: string };
  readonly status: { readonly containerStatuses?: readonly { readonly ready: boolean }[] };
}

/** Those that serve; one that is being replaced counts as ready until the last moment. */
async function servingPods(cluster: KubernetesCluster): Promise<readonly string[]> {
  const selector = ['-l', 'app.kubernetes.io/component=node', '-n', systemNamespace];
  const { items } = await cluster.get<{ readonly items: readonly Pod[] }>(['pods', ...selector]);
  return items
    .filter(({ metadata }) => metadata.deletionTimestamp === undefined)
    .filter(({ status }) => status.containerStatuses?.[0]?.ready === true)
    .map(({ metadata }) => metadata.name);
}

/** Runs pxctl in a px-node pod that serves; in another one when that has begun to end meanwhile. */
export async function pxctl(cluster: KubernetesCluster, args: readonly string[]): Promise<string> {
  const [pod] = await servingPods(cluster);
  if (pod === undefined) throw new Error('no px-node pod is ready');
  const inPod = ['exec', '-n', systemNamespace, pod, '-c', 'px-node', '--', 'pxctl', ...args];
  try {
    return await cluster.kubectl(inPod);
  } catch (error) {
    if ((await servingPods(cluster)).includes(pod)) throw error;
    return pxctl(cluster, args);
  }
}

/** Without snapshots, unless `--all` is asked for. */
export async function listVolumes(
  cluster: KubernetesCluster,
  flags: readonly string[] = [],
): Promise<readonly VolumeJson[]> {
  return JSON.parse(await pxctl(cluster, ['-j', 'volume', 'list', ...flags])) as VolumeJson[];
}

/** Every replica of every volume holds every acknowledged write again. */
export async function waitAllInSync(cluster: KubernetesCluster, timeoutMs: number): Promise<void> {
  await waitFor('volumes in sync', timeoutMs, async () => {
    const volumes = await listVolumes(cluster);
    return volumes.every(({ status }) => status === 'up') ? true : undefined;
  });
}
