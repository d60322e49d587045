import { readFile } from 'node:fs/promises';
import path from 'node:path';
import type { DevCluster } from '../../tools/devcluster/cluster.js';
import { waitFor } from '../../tools/lib/wait.js';
import { useCluster, waitDaemonEnd, waitOffline } from '../support/clusters.js';
import { Mirror } from '../support/mirror.js';
import { describeOnCluster } from '../support/needs.js';
import {
  attach,
  createAttached,
  createVolume,
  detachAndDelete,
  expectEqual,
  healed,
  miB,
} from '../support/volumes.js';

/** Nodes that leave: one after the other, until too few are left for what is to be kept. */
describeOnCluster('DecommissionNode', () => {
  let cluster: DevCluster;
  useCluster((started) => (cluster = started), { nodes: 4 }, { mends: false });

  const names = async (via: string) => {
    const { nodes } = await cluster.api(via).ListNodes({});
    return nodes.map(({ name }) => name).sort();
  };

  async function gone(via: string, name: string): Promise<void> {
    const request = { node_id: cluster.id(name) };
    await waitFor(
      `decommission of ${name}`,
      120_000,
      async () =>
        (await cluster.api(via).DecommissionNode(request)).state === 'done' ? true : undefined,
      500,
    );
    expect(await names(via)).not.toContain(name);
  }

  test('a live node: its replicas move under load, and it does not come back', async () => {
    const [node, leaving] = ['n1', 'n4'];
    const volume = await createAttached(cluster, 2, 192 * miB, [node, leaving]);
    const idle = await createVolume(cluster, 2, 64 * miB, [leaving, node]);
    const mirror = new Mirror(96 * miB);
    const writer = mirror.startWriter(cluster, node, volume.device, 61);
    await writer.progress(500);
    const began = await cluster.api(node).DecommissionNode({ node_id: cluster.id(leaving) });
    expect(began).toMatchObject({ state: 'moving', replicas_left: 2, reasons: [] });
    await gone(node, leaving);
    await healed(cluster, node, volume.id, 2);
    await writer.progress(200);
    await writer.stop();
    await mirror.verify(volume.device);
    await expectEqual(cluster, node, volume.id, 2);
    const { replicas } = await cluster.api(node).GetVolume({ id_or_name: idle.id });
    expect(replicas.map(({ node_name }) => node_name)).not.toContain(leaving);

    await waitDaemonEnd(cluster, leaving);
    const log = await readFile(path.join(cluster.node(leaving).dir, 'px-node.log'), 'utf8');
    expect(log).toContain("was decommissioned and can't come back as what it was");
    await detachAndDelete(cluster, volume.id, node);
    await cluster.api(node).DeleteVolume({ id_or_name: idle.id });
  }, 240_000);

  test('a dead node, on which a volume was attached: rebuilt from the others', async () => {
    const [dead, other] = ['n3', 'n2'];
    const volume = await createAttached(cluster, 2, 128 * miB, [dead, other]);
    const mirror = new Mirror(64 * miB);
    const writer = mirror.startWriter(cluster, dead, volume.device, 62);
    await writer.progress(500);
    await cluster.killNode(dead);
    await writer.ended;
    await waitOffline(cluster, other, dead);
    await gone(other, dead);
    await healed(cluster, other, volume.id, 2);
    const device = await attach(cluster, volume.id, other);
    await mirror.verify(device);
    await expectEqual(cluster, other, volume.id, 2);

    // Two nodes are left for two replicas: neither can go, and that is said.
    const last = 'n1';
    const blocked = await cluster.api(other).DecommissionNode({ node_id: cluster.id(last) });
    expect(blocked.state).toBe('blocked');
    expect(blocked.replicas_left).toBe(1);
    expect(blocked.reasons.join()).toContain(
      `volume ${volume.name}: 1 replica(s) on distinct nodes`,
    );
    const cancelled = await cluster.api(other).CancelDecommission({ node_id: cluster.id(last) });
    expect(cancelled).toMatchObject({ name: last, decommission: '', state: 'operational' });
    await detachAndDelete(cluster, volume.id, other);
  }, 240_000);

  test('a node in maintenance gets nothing new', async () => {
    const via = cluster.api('n1');
    const node_id = cluster.id('n2');
    const entered = await via.SetMaintenance({ node_id, enter: true });
    expect(entered).toMatchObject({ maintenance: true, state: 'maintenance' });
    const refused = createVolume(cluster, 2, 64 * miB);
    await expect(refused).rejects.toMatchObject({ code: 'resource_exhausted' });
    const left = await via.SetMaintenance({ node_id, enter: false });
    expect(left).toMatchObject({ maintenance: false, state: 'operational' });
  }, 60_000);
});
