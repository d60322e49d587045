import type { Volume__Output } from '../../src/gen/px/v1/Volume.js';
import type { DevCluster } from '../../tools/devcluster/cluster.js';
import { run } from '../../tools/lib/run.js';
import { waitFor } from '../../tools/lib/wait.js';
import { useCluster, waitDaemonEnd } from '../support/clusters.js';
import { Mirror } from '../support/mirror.js';
import { describeOnCluster } from '../support/needs.js';
import {
  attach,
  createAttached,
  createVolume,
  detachAndDelete,
  expectEqual,
  healedAndEqual,
  miB,
} from '../support/volumes.js';

/** Replicas that come and go, while the volume is written and while nobody uses it. */
describeOnCluster('moving replicas', () => {
  const timing = { resyncBytesPerSecond: 48 * miB, replaceReplicaAfterMs: 15_000 };
  let cluster: DevCluster;
  useCluster((started) => (cluster = started), { nodes: 4, config: { timing } });

  /** The volume once its wish is fulfilled: so many replicas, all in sync. */
  async function moved(via: string, id: string, count: number): Promise<Volume__Output> {
    return waitFor(`${count} replicas of ${id} in sync`, 90_000, async () => {
      const volume = await cluster.api(via).GetVolume({ id_or_name: id });
      const done = volume.replica_change === null && volume.replicas.length === count;
      return done && volume.replicas.every(({ state }) => state === 'in_sync') ? volume : undefined;
    });
  }

  const namesOf = (volume: Volume__Output) => volume.replicas.map(({ node_name }) => node_name);

  /** Replicas of the volume that the node's engine has on its disks. */
  async function pieces(name: string, id: string): Promise<string[]> {
    const args = [cluster.node(name).dir, '-path', `*${id}*`, '-name', 'meta.json'];
    const found = await run('find', args, { timeoutMs: 10_000 });
    return found.split('\n').filter((line) => line !== '');
  }

  test('one to three to two under load, while engines and daemons are killed', async () => {
    const volume = await createAttached(cluster, 1, 256 * miB);
    const [node = ''] = volume.replicaNodes;
    const mirror = new Mirror(128 * miB);
    const writer = mirror.startWriter(cluster, node, volume.device, 51);
    await writer.progress(2000);

    const wish = { id_or_name: volume.id, count: 3 };
    const asked = await cluster.api(node).UpdateReplicas(wish);
    expect(asked.replica_change).toMatchObject({ target_count: 3, state: 'filling' });
    expect(asked.replica_change?.adding_nodes).toHaveLength(2);
    // The same again is the same wish; another one is refused.
    await cluster.api('n2').UpdateReplicas(wish);
    await expect(
      cluster.api(node).UpdateReplicas({ id_or_name: volume.id, count: 2 }),
    ).rejects.toMatchObject({ code: 'failed_precondition' });
    await cluster.killProcess(node, 'engine');
    const [other = ''] = asked.replicas.map(({ node_name }) => node_name).filter((n) => n !== node);
    await cluster.killProcess(other, 'engine');
    await cluster.killProcess(node, 'px-node');
    await waitDaemonEnd(cluster, node);
    await cluster.startNode(node);
    const three = await moved(node, volume.id, 3);
    expect(three.spec?.replicas).toBe(3);
    await writer.progress(200);

    await cluster
      .api(other)
      .UpdateReplicas({ id_or_name: volume.id, count: 2, remove_nodes: [node] });
    const two = await moved(node, volume.id, 2);
    expect(namesOf(two)).not.toContain(node);
    await writer.progress(500);
    await writer.stop();
    await mirror.verify(volume.device);
    await expectEqual(cluster, node, volume.id, 2);
    await waitFor(`deletion of what left ${node}`, 20_000, async () =>
      (await pieces(node, volume.id)).length === 0 ? true : undefined,
    );
    expect(await pieces(other, volume.id)).toHaveLength(1);

    // What the move left is all there is: another node reads it from the new replicas alone.
    await cluster.api(node).DetachVolume({ id_or_name: volume.id });
    await cluster.killNode(node);
    const device = await attach(cluster, volume.id, other);
    await mirror.verify(device);
    await detachAndDelete(cluster, volume.id, other);
  }, 240_000);

  test('a wish that is given up leaves what was filled, and nothing half filled', async () => {
    const volume = await createVolume(cluster, 2, 1024 * miB);
    const before = namesOf(volume).sort();
    const [first = ''] = before;
    await cluster.api(first).UpdateReplicas({ id_or_name: volume.id, count: 3 });
    const given = await cluster.api(first).UpdateReplicas({ id_or_name: volume.id, cancel: true });
    expect(given.spec?.replicas).toBe(2);
    const after = await moved(first, volume.id, 2);
    expect(namesOf(after).sort()).toEqual(before);
    await cluster.api(first).DeleteVolume({ id_or_name: volume.id });
  }, 120_000);

  test('a replica whose node stays away is made anew elsewhere, and the old one is deleted later', async () => {
    const volume = await createAttached(cluster, 2, 128 * miB);
    const [node = '', lost = ''] = volume.replicaNodes;
    const mirror = new Mirror(64 * miB);
    const writer = mirror.startWriter(cluster, node, volume.device, 52);
    await writer.progress(500);
    await cluster.killNode(lost);
    const healed = await waitFor('another replica', 90_000, async () => {
      const now = await cluster.api(node).GetVolume({ id_or_name: volume.id });
      return now.replica_change === null && !namesOf(now).includes(lost) ? now : undefined;
    });
    expect(healed.replicas.map(({ state }) => state)).toEqual(['in_sync', 'in_sync']);
    await writer.progress(200);
    await writer.stop();
    await mirror.verify(volume.device);
    await expectEqual(cluster, node, volume.id, 2);
    expect(await pieces(lost, volume.id)).toHaveLength(1);
    await cluster.startNode(lost);
    await waitFor(`deletion of what left ${lost}`, 30_000, async () =>
      (await pieces(lost, volume.id)).length === 0 ? true : undefined,
    );
    await detachAndDelete(cluster, volume.id, node);
  }, 180_000);

  test('a snapshot moves as well, and is put back only where both lie in one pool', async () => {
    const volume = await createVolume(cluster, 2, 64 * miB, ['n1', 'n2']);
    const device = await attach(cluster, volume.id, 'n1');
    const mirror = new Mirror(32 * miB);
    const writer = mirror.startWriter(cluster, 'n1', device, 53);
    await writer.progress(300);
    await writer.stop();
    const api = cluster.api('n1');
    const snapshot = await api.CreateSnapshot({ volume_id_or_name: volume.id, name: 'moved-snap' });
    const other = new Mirror(32 * miB);
    const second = other.startWriter(cluster, 'n1', device, 54);
    await second.progress(300);
    await second.stop();
    await api.DetachVolume({ id_or_name: volume.id });

    const remove_nodes = ['n1', 'n2'];
    const add_nodes = ['n3', 'n4'];
    await api.UpdateReplicas({ id_or_name: volume.id, add_nodes, remove_nodes });
    expect(namesOf(await moved('n1', volume.id, 2)).sort()).toEqual(add_nodes);
    const restore = { volume_id_or_name: volume.id, snapshot_id_or_name: snapshot.id };
    await expect(api.RestoreSnapshot(restore)).rejects.toMatchObject({
      code: 'failed_precondition',
    });
    await api.UpdateReplicas({ id_or_name: snapshot.id, add_nodes: ['n4'], remove_nodes: ['n1'] });
    expect(namesOf(await moved('n1', snapshot.id, 2))).toContain('n4');
    await api.RestoreSnapshot(restore);
    const restored = await attach(cluster, volume.id, 'n2');
    await mirror.verify(restored);
    // Only the replica that put the snapshot back is counted on until the other was filled.
    await healedAndEqual(cluster, 'n2', volume.id, 2);
    await api.DeleteVolume({ id_or_name: snapshot.id });
    await detachAndDelete(cluster, volume.id, 'n2');
  }, 180_000);
});
