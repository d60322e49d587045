import { rm } from 'node:fs/promises';
import path from 'node:path';
import { waitFor } from '../../../tools/lib/wait.js';
import {
  kvdbMembers,
  outOfService,
  waitInService,
  waitKvdbWhole,
  waitOnline,
} from '../px/nodes.js';
import { waitAllInSync } from '../px/volumes.js';
import { check } from '../runner/check.js';
import { checkAlways, checkNothingLost, nowSeconds, type Setting } from './setting.js';

const taint = 'node.kubernetes.io/out-of-service';
const promisedMs = 60_000;

/**
 * A person says of a dead node that it is dead. Its disks come back, but for
 * the data of its member of the key-value store.
 */
export async function declareDead(setting: Setting): Promise<void> {
  const { cluster, helpers, mover } = setting;
  const { step } = helpers;
  const node = await mover.requireNode();
  check((await kvdbMembers(cluster)).includes(node), `${node} is no member of the kvdb`);
  const taken = await step(`${node} dies, and a person says so`, async () => {
    await cluster.killNode(node);
    const beganMs = performance.now();
    await cluster.kubectl(['taint', 'node', node, `${taint}=nodeshutdown:NoExecute`]);
    await mover.goesOn(60_000, (name) => name !== node);
    return performance.now() - beganMs;
  });
  helpers.say(`written elsewhere ${(taken / 1000).toFixed(1)} s after the taint`);
  check(taken < promisedMs, `it took ${taken} ms, and ${promisedMs} ms are promised`);
  // Written last. How long it takes depends on whose leaders died with the node; what
  // decided does not: the person's word, before any silence was long enough.
  const mark = await waitFor(`mark of ${node}`, 30_000, async () =>
    (await outOfService(cluster, node)).find((word) => word.startsWith('px.io/fenced=')),
  );
  check(mark === 'px.io/fenced=taint', `the taint said nothing: ${mark}`);
  await step(`${node} is back, without its data of the kvdb`, async () => {
    const { rootDir } = cluster.node(node);
    await rm(path.join(rootDir, 'var/lib/px/etcd'), { recursive: true });
    await cluster.restartNode(node);
    await waitOnline(cluster, node, 120_000);
  });
  await step('the key-value store has three members', () => waitKvdbWhole(cluster, 120_000));
  await step('the taint is taken away, and px forgets its mark', async () => {
    const marks = await outOfService(cluster, node);
    check(marks.includes(`${taint}=nodeshutdown`), `px has changed the taint: ${marks.join(', ')}`);
    await cluster.kubectl(['taint', 'node', node, `${taint}-`]);
    await waitInService(cluster, node, 60_000);
  });
  await step('all copies are in sync again', () => waitAllInSync(cluster, 120_000));
  await checkNothingLost(setting);
}

/** Longer than the two witnesses of a death need, and than a node needs to be called not ready. */
const watchSeconds = 45;

/** Cut off from the API server alone, a node is left alone. */
export async function cutFromApi({ cluster, helpers, mover }: Setting): Promise<void> {
  const node = await mover.requireNode();
  const began = nowSeconds();
  await helpers.step(`${node} is cut off from the API server and left alone`, async () => {
    await cluster.partition(node, 'api');
    try {
      await waitFor(`${watchSeconds} s`, (watchSeconds + 30) * 1000, async () => {
        const marks = await outOfService(cluster, node);
        checkAlways(marks.length === 0, `${node} was touched: ${marks.join(', ')}`);
        checkAlways((await mover.node()) === node, `${mover.pod} was taken from ${node}`);
        return nowSeconds() - began >= watchSeconds ? true : undefined;
      });
      const rows = await mover.acknowledgedOn(node);
      check((rows.at(-1)?.atSeconds ?? 0) >= nowSeconds() - 5, `${mover.name} does not write`);
    } finally {
      await cluster.heal(node);
    }
    await cluster.waitNodesReady();
  });
}

/** Cut off from everybody, with a writer that goes on as long as it can. */
export async function cutFromAll(setting: Setting): Promise<void> {
  const { cluster, helpers, mover } = setting;
  const { step } = helpers;
  const node = await mover.requireNode();
  const cutAt = nowSeconds();
  await step(`${node} is cut off from everybody, and its pod runs elsewhere`, async () => {
    await cluster.partition(node, 'all');
    await mover.goesOn(90_000, (name) => name !== node);
  });
  const onOld = await mover.acknowledgedOn(node);
  helpers.say(
    `written elsewhere ${await mover.longestPauseSince(cutAt)} s after the last row there`,
  );
  await checkNothingLost(setting);
  const later = await mover.acknowledgedOn(node);
  check(later.length === onOld.length, `${node} still acknowledges writes: ${later.at(-1)?.row}`);
  await step(`${node} is healed and in service`, async () => {
    await cluster.heal(node);
    await cluster.waitNodesReady();
    await waitInService(cluster, node, 90_000);
    await waitOnline(cluster, node, 60_000);
    await waitAllInSync(cluster, 120_000);
  });
  const now = await mover.acknowledgedOn(node);
  const foreign = now.slice(onOld.length);
  check(
    foreign.length === 0 || (await mover.node()) === node,
    `${node} has acknowledged after its fence: ${foreign.map(({ row }) => row).join(', ')}`,
  );
  await checkNothingLost(setting);
}
