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

/** Runs pxctl in a px-node pod that is ready. */
export async function pxctl(cluster: KubernetesCluster, args: readonly string[]): Promise<string> {
  const selector = ['-l', 'app.kubernetes.io/component=node', '-n', systemNamespace];
  const ready =
    'jsonpath={range .items[?(@.status.containerStatuses[0].ready==true)]}{.metadata.name} {end}';
  const names = await cluster.kubectl(['get', 'pods', ...selector, '-o', ready]);
  const [pod] = names.trim().split(' ');
  if (pod === undefined || pod === '') throw new Error('no px-node pod is ready');
  const inPod = ['exec', '-n', systemNamespace, pod, '-c', 'px-node', '--', 'pxctl', ...args];
  return cluster.kubectl(inPod);
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
