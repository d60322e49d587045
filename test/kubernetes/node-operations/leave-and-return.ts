import { waitFor } from '../../../tools/lib/wait.js';
import type { KubernetesCluster } from '../cluster/cluster.js';
import { systemNamespace } from '../px/install-px.js';
import {
  annotate,
  waitDecommission,
  waitForgotten,
  waitKvdbWhole,
  waitOnline,
} from '../px/nodes.js';
import { listVolumes, waitAllInSync } from '../px/volumes.js';
import { check } from '../runner/check.js';
import { checkNothingLost, checkUndisturbed, nowSeconds, type Setting } from './setting.js';

const decommission = 'px.io/decommission=true';
const label = 'px.io/decommissioned';
/** Replicas of 1 GiB with little in them move within seconds; a member's place is taken in a minute. */
const leavingMs = 180_000;
/** A replica that joins or leaves, and an engine that starts, hold writes up for a moment. */
const shortPauseSeconds = 8;

export async function drain(cluster: KubernetesCluster, node: string): Promise<void> {
  const words = ['drain', node, '--ignore-daemonsets', '--delete-emptydir-data', '--timeout=120s'];
  await cluster.kubectl(words, { timeoutMs: 130_000 });
}

/**
 * A node with a pod, a replica and a member of the key-value store on it leaves:
 * it waits for the pod, the pod is drained, the replicas move, the store gets
 * another member, and nothing of px is left running there.
 */
export async function leave(setting: Setting): Promise<string> {
  const { cluster, helpers, mover, bystander } = setting;
  const { step } = helpers;
  const node = await mover.requireNode();
  const began = nowSeconds();
  const before = await waitOnline(cluster, node, 60_000);
  await step(`the decommission of ${node} waits for its pod`, async () => {
    await annotate(cluster, `storagenode/${node}`, decommission);
    await waitDecommission(
      cluster,
      node,
      leavingMs,
      (state, message) => state === 'Refused' && message.includes(`/${mover.pod})`),
    );
    await mover.goesOn(30_000);
    await checkUndisturbed(mover, began, shortPauseSeconds);
  });
  await step(`kubectl drain ${node}`, () => drain(cluster, node));
  await step('its pod runs elsewhere', () => mover.goesOn(60_000, (name) => name !== node));
  check((await mover.node()) !== node, `${mover.pod} is still on ${node}`);
  await step(`${node} leaves`, () => waitForgotten(cluster, node, leavingMs));
  await checkGone(cluster, node, before);
  await step('volumes are whole', () => waitAllInSync(cluster, 60_000));
  await step('the key-value store has three members', () => waitKvdbWhole(cluster, leavingMs));
  await checkUndisturbed(bystander, began, shortPauseSeconds);
  await checkNothingLost(setting);
  return node;
}

async function checkGone(cluster: KubernetesCluster, node: string, id: string): Promise<void> {
  const left = await cluster.tryNodeExec(node, ['pgrep', '-af', 'dataplane/(holder|engine|node)/']);
  check(left.code === 1, `still running on ${node}: ${left.stdout.trim()}`);
  const mounts = await cluster.nodeExec(node, ['cat', '/proc/mounts']);
  const ours = mounts.split('\n').filter((line) => line.includes('/var/lib/px/devices'));
  check(ours.length === 0, `still mounted on ${node}: ${ours.join('; ')}`);
  for (const { locator, replicas, spec } of await listVolumes(cluster)) {
    const nodes = replicas.map(({ node_id }) => node_id);
    check(!nodes.includes(id), `volume ${locator.name} still has a replica on ${node}`);
    check(String(nodes.length) === spec.ha_level, `${locator.name} has ${nodes.length} replicas`);
  }
}

/** The same machine once more, as docs/how-to/replace-a-node.md says. */
export async function comeBack({ cluster, helpers }: Setting, node: string): Promise<void> {
  await helpers.step(`what px had on ${node} is removed`, async () => {
    await cluster.kubectl(['label', 'node', node, `${label}=wipe`, '--overwrite']);
    await waitFor(`wiped ${node}`, 90_000, async () => {
      const jobs = ['get', 'jobs', '-n', systemNamespace, '-o'];
      const done = 'jsonpath={range .items[?(@.status.succeeded==1)]}{.metadata.name} {end}';
      return (await cluster.kubectl([...jobs, done])).includes(`px-wipe-${node}-`)
        ? true
        : undefined;
    });
  });
  await helpers.step(`${node} joins again`, async () => {
    await cluster.kubectl(['label', 'node', node, `${label}-`]);
    await cluster.kubectl(['uncordon', node]);
    await waitOnline(cluster, node, 120_000);
  });
}
