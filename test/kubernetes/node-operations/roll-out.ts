import type { KubernetesCluster } from '../cluster/cluster.js';
import { waitFor } from '../../../tools/lib/wait.js';
import { storageCluster, systemNamespace, waitRunning } from '../px/install-px.js';
import { check } from '../runner/check.js';
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
/** Of this version there is no image, and no registry is in reach to ask. */
const missingImage = 'docker.io/openpx/px:0.0.0-missing';
/** Engines are not restarted by a new configuration. */
const shortPauseSeconds = 5;

async function storagePods(cluster: KubernetesCluster): Promise<Pods['items']> {
  const selector = ['-l', 'app.kubernetes.io/component=node', '-n', systemNamespace];
  return (await cluster.get<Pods>(['pods', ...selector])).items;
}

/** Those that are ready, which is all but one at any time. */
async function servingPods(cluster: KubernetesCluster): Promise<Pods['items']> {
  const serving = (await storagePods(cluster)).filter(({ metadata, status }) => {
    const ready = status.conditions?.some((one) => one.type === 'Ready' && one.status === 'True');
    return ready === true && metadata.deletionTimestamp === undefined;
  });
  const away = cluster.nodes.length - serving.length;
  checkAlways(away <= 1, `${away} px-node pods are away at the same time`);
  return serving;
}

/** Changes what every node's configuration has; every px-node is replaced, one after the other. */
export async function rollOver(cluster: KubernetesCluster, logLevel: string): Promise<void> {
  const old = new Set((await storagePods(cluster)).map(({ metadata }) => metadata.uid));
  const patch = { spec: { runtimeOptions: { 'log-level': logLevel } } };
  const words = ['patch', 'storagecluster', storageCluster, '-n', systemNamespace];
  await cluster.kubectl([...words, '--type', 'merge', '-p', JSON.stringify(patch)]);
  await waitFor('new px-node on every node', allReplacedMs, async () => {
    const serving = await servingPods(cluster);
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

/** A release that can't start stops at the first node, says why, and can be taken back. */
export async function failAndReturn(setting: Setting): Promise<void> {
  const { cluster, helpers, mover, bystander } = setting;
  const { step } = helpers;
  const began = nowSeconds();
  const object = ['storagecluster', storageCluster, '-n', systemNamespace];
  const image = await cluster.kubectl(['get', ...object, '-o', 'jsonpath={.spec.image}']);
  const setImage = (name: string): Promise<string> => {
    const patch = JSON.stringify({ spec: { image: name } });
    return cluster.kubectl(['patch', ...object, '--type', 'merge', '-p', patch]);
  };
  const pause = (word: string): Promise<string> =>
    cluster.kubectl(['annotate', ...object, `px.io/pause-rollout${word}`]);
  await step('a release without image stops at the first node', async () => {
    const old = new Set((await storagePods(cluster)).map(({ metadata }) => metadata.uid));
    await setImage(missingImage);
    const message = await waitRollout(cluster, 'Failing');
    check(/ErrImagePull|ImagePullBackOff/.test(message), `the condition says "${message}"`);
    check(message.includes('no more is replaced'), `the condition says "${message}"`);
    const kept = (await servingPods(cluster)).filter(({ metadata }) => old.has(metadata.uid));
    check(kept.length === cluster.nodes.length - 1, `${kept.length} nodes were left alone`);
  });
  await step('it is taken back; nothing happens while the roll-out is paused', async () => {
    await pause('=true');
    await setImage(image);
    await waitRollout(cluster, 'Paused');
    await pause('-');
    await waitRollout(cluster, 'UpToDate');
    const { length } = await servingPods(cluster);
    check(length === cluster.nodes.length, `px-node serves on ${length} nodes`);
    await waitRunning(cluster);
  });
  for (const writer of [mover, bystander]) await checkUndisturbed(writer, began, shortPauseSeconds);
  await checkNothingLost(setting);
}

/** Until the roll-out is at this point; answers what it says of it. */
async function waitRollout(cluster: KubernetesCluster, reason: string): Promise<string> {
  const object = ['storagecluster', storageCluster, '-n', systemNamespace];
  let seen = '';
  return waitFor(`roll-out that is ${reason}`, allReplacedMs, async () => {
    await servingPods(cluster);
    const { status } = await cluster.get<Conditions>(object);
    const condition = status?.conditions?.find(({ type }) => type === 'NodesUpToDate');
    seen = `${condition?.reason ?? 'unknown'}: ${condition?.message ?? ''}`;
    return condition?.reason === reason ? condition.message : undefined;
  }).catch((error: unknown) => {
    throw new Error(`the roll-out is ${seen}`, { cause: error });
  });
}

interface Conditions {
  readonly status?: {
    readonly conditions?: readonly {
      readonly type: string;
      readonly reason: string;
      readonly message: string;
    }[];
  };
}
