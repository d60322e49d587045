import type { KubernetesCluster } from '../cluster/cluster.js';
import { waitFor } from '../../../tools/lib/wait.js';
import { storageCluster, systemNamespace } from '../px/install-px.js';
import {
  checkAlways,
  checkNothingLost,
  checkUndisturbed,
  nowSeconds,
  type Setting,
} from './setting.js';

interface Pods {
  readonly items: readonly {
    readonly metadata: {
      readonly uid: string;
      readonly name: string;
      readonly deletionTimestamp?: string;
    };
    readonly spec: { readonly nodeName?: string };
    readonly status: {
      readonly conditions?: readonly { readonly type: string; readonly status: string }[];
    };
  }[];
}

const allReplacedMs = 240_000;
/** Engines are not restarted by a new configuration. */
const shortPauseSeconds = 5;

async function storagePods(cluster: KubernetesCluster): Promise<Pods['items']> {
  const selector = ['-l', 'app.kubernetes.io/component=node', '-n', systemNamespace];
  return (await cluster.get<Pods>(['pods', ...selector])).items;
}

/** Changes what every node's configuration has; every px-node is replaced, one after the other. */
export async function rollOver(cluster: KubernetesCluster, logLevel: string): Promise<void> {
  const old = new Set((await storagePods(cluster)).map(({ metadata }) => metadata.uid));
  const patch = { spec: { runtimeOptions: { 'log-level': logLevel } } };
  const words = ['patch', 'storagecluster', storageCluster, '-n', systemNamespace];
  await cluster.kubectl([...words, '--type', 'merge', '-p', JSON.stringify(patch)]);
  await waitFor('new px-node on every node', allReplacedMs, async () => {
    const pods = await storagePods(cluster);
    const serving = pods.filter(({ metadata, status }) => {
      const ready = status.conditions?.some((one) => one.type === 'Ready' && one.status === 'True');
      return ready === true && metadata.deletionTimestamp === undefined;
    });
    const away = cluster.nodes.length - serving.length;
    checkAlways(away <= 1, `${away} px-node pods are away at the same time`);
    const fresh = serving.filter(({ metadata }) => !old.has(metadata.uid));
    return fresh.length === cluster.nodes.length ? true : undefined;
  });
}

export async function changeConfig(setting: Setting): Promise<void> {
  const { cluster, helpers, mover, bystander } = setting;
  const began = nowSeconds();
  await helpers.step('a change of the configuration rolls over the nodes', () =>
    rollOver(cluster, 'info'),
  );
  for (const writer of [mover, bystander]) await checkUndisturbed(writer, began, shortPauseSeconds);
  await checkNothingLost(setting);
}
