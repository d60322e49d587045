import { waitFor } from '../../../tools/lib/wait.js';
import type { KubernetesCluster } from '../cluster/cluster.js';
import { systemNamespace, waitRunning } from './install-px.js';
import { isPodReady, type Pod } from './observed.js';

/** Each node's kubelet and containerd answer: what the API server has of them may be old. */
export async function waitNodesAnswer(
  cluster: KubernetesCluster,
  timeoutMs: number,
): Promise<void> {
  await Promise.all(
    cluster.nodes.map(({ name }) =>
      waitFor(`answer of ${name}`, timeoutMs, async () => {
        await cluster.kubectl(['get', '--raw', `/api/v1/nodes/${name}/proxy/healthz`]);
        await cluster.nodeExec(name, ['ctr', 'version']);
        return true;
      }),
    ),
  );
}

export async function countSystemPods(cluster: KubernetesCluster): Promise<number> {
  return (await systemPods(cluster)).length;
}

/** All of px runs: as many pods as before, each ready, and the operator says so. */
export async function waitPxWell(
  cluster: KubernetesCluster,
  pods: number,
  timeoutMs: number,
): Promise<void> {
  await waitFor(`${pods} ready pods of px`, timeoutMs, async () => {
    const found = await systemPods(cluster);
    const ready = found.filter(
      (pod) => pod.metadata.deletionTimestamp === undefined && isPodReady(pod),
    );
    return ready.length === pods && found.length === pods ? true : undefined;
  });
  await waitRunning(cluster, timeoutMs);
}

async function systemPods(cluster: KubernetesCluster): Promise<readonly Pod[]> {
  return (await cluster.get<{ items: readonly Pod[] }>(['pods', '-n', systemNamespace])).items;
}
