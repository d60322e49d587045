import { existsSync } from 'node:fs';
import { readdir } from 'node:fs/promises';
import path from 'node:path';
import type { DevCluster } from '../../tools/devcluster/cluster.js';
import { waitFor } from '../../tools/lib/wait.js';
import { useCluster, waitOffline } from '../support/clusters.js';
import { Mirror } from '../support/mirror.js';
import { describeOnCluster } from '../support/needs.js';
import {
  attach,
  createAttached,
  createVolume,
  detachAndDelete,
  expectEqual,
  healed,
  healedAndEqual,
  miB,
  waitOut,
} from '../support/volumes.js';

/** What px-node decides about a volume, over three nodes: who may attach, who heals, who removes. */
describeOnCluster("a volume's life over three nodes", () => {
  let cluster: DevCluster;
  useCluster((started) => (cluster = started));

  test('many calls for one name make one volume', async () => {
    const made = await Promise.all(
      ['n1', 'n2', 'n3', 'n1', 'n2', 'n3'].map((node) =>
        cluster
          .api(node)
          .CreateVolume({ name: 'same', spec: { size_bytes: 64 * miB, replicas: 2 } }),
      ),
    );
    expect(new Set(made.map((volume) => volume.id)).size).toBe(1);
    const zones = made[0]?.replicas.map((replica) => replica.zone);
    expect(new Set(zones).size).toBe(2);
    await cluster.api('n3').DeleteVolume({ id_or_name: 'same' });
    expect((await cluster.api('n1').ListVolumes({})).volumes).toEqual([]);
  }, 60_000);

  test('a reservation decides who may attach; force and a dead node override it', async () => {
    const volume = await createVolume(cluster, 3, 64 * miB);
    const on = (node: string, force = false) =>
      cluster.api(node).AttachVolume({ id_or_name: volume.id, frontend: 'nbd', force });
    const refused = { code: 'failed_precondition' };
    const publish = (node: string, force = false) =>
      cluster.api('n3').PublishVolume({ id_or_name: volume.id, node_id: cluster.id(node), force });

    await publish('n1');
    await expect(publish('n2')).rejects.toMatchObject(refused);
    await expect(on('n2')).rejects.toMatchObject(refused);
    const first = await on('n1');
    expect((await on('n1')).epoch).toBe(first.epoch);
    await expect(on('n2')).rejects.toMatchObject(refused);
    await expect(cluster.api('n2').DeleteVolume({ id_or_name: volume.id })).rejects.toMatchObject(
      refused,
    );
    // The controller takes it from n1, which still has it attached, and gives it to n2.
    await cluster.api('n3').UnpublishVolume({ id_or_name: volume.id, node_id: cluster.id('n1') });
    await publish('n2');
    const second = await on('n2');
    expect(Number(second.epoch)).toBeGreaterThan(Number(first.epoch));
    // What n1 still had is taken down by itself.
    await waitFor('end of the fenced attach', 30_000, async () =>
      (await cluster.api('n1').GetVolume({ id_or_name: volume.id })).attached_on ===
      cluster.id('n2')
        ? true
        : undefined,
    );
    const third = await on('n3', true);
    expect(Number(third.epoch)).toBeGreaterThan(Number(second.epoch));
    // n3 dies with it; n1 gets it without anybody's help, once n3's lease is over.
    await cluster.api('n1').UnpublishVolume({ id_or_name: volume.id, node_id: cluster.id('n2') });
    await cluster.killNode('n3');
    // A lease that is over does not say that nobody uses the device there any more.
    const refusal = await waitFor("the end of n3's lease", 30_000, () =>
      cluster
        .api('n1')
        .DeleteVolume({ id_or_name: volume.id })
        .then(
          () => 'deleted',
          ({ message }: Error) => (message.includes('is attached on') ? undefined : message),
        ),
    );
    expect(refusal).toContain('was attached on n3, which px does not hear of; detach it first');
    const fourth = await on('n1');
    expect(Number(fourth.epoch)).toBeGreaterThan(Number(third.epoch));
    await cluster.startNode('n3');
    await detachAndDelete(cluster, volume.id, 'n1');
  }, 120_000);

  test('a detached volume heals by itself, and a user pushes the healing aside', async () => {
    const volume = await createAttached(cluster, 3, 512 * miB);
    const [first = '', second = '', third = ''] = volume.replicaNodes;
    const mirror = new Mirror(256 * miB);
    await cluster.killNode(third);
    const writer = mirror.startWriter(cluster, first, volume.device, 5);
    await writer.progress(1000);
    await writer.stop();
    await waitOut(cluster, first, volume.id, third);
    await cluster.api(first).DetachVolume({ id_or_name: volume.id });
    const degraded = await cluster.api(first).GetVolume({ id_or_name: volume.id });
    expect(degraded).toMatchObject({ status: 'degraded', state: 'detached' });

    await cluster.startNode(third);
    await waitFor('healing', 40_000, async () => {
      const now = await cluster.api(second).GetVolume({ id_or_name: volume.id });
      return Number(now.epoch) > Number(degraded.epoch) ? true : undefined;
    });
    // Whoever heals, it does not look attached, and a user's attach does not wait for it.
    const device = await attach(cluster, volume.id, second);
    await mirror.verify(device);
    await healedAndEqual(cluster, second, volume.id, 3);
    await detachAndDelete(cluster, volume.id, second);
  }, 180_000);

  test('a healed volume is given back, detached and equal', async () => {
    const volume = await createAttached(cluster, 2, 128 * miB);
    const [first = '', second = ''] = volume.replicaNodes;
    const mirror = new Mirror(32 * miB);
    await cluster.killNode(second);
    const writer = mirror.startWriter(cluster, first, volume.device, 6);
    await writer.progress(300);
    await writer.stop();
    await waitOut(cluster, first, volume.id, second);
    await cluster.api(first).DetachVolume({ id_or_name: volume.id });
    await cluster.startNode(second);
    await healed(cluster, first, volume.id, 2);
    const status = await waitFor('detached again', 30_000, async () => {
      const now = await cluster.api(first).GetVolume({ id_or_name: volume.id });
      return now.state === 'detached' && now.status === 'up' ? now.status : undefined;
    });
    expect(status).toBe('up');
    await expectEqual(cluster, second, volume.id, 2);
    const device = await attach(cluster, volume.id, second);
    await mirror.verify(device);
    await detachAndDelete(cluster, volume.id, second);
  }, 180_000);

  test('a node that was away removes its replica of what was deleted meanwhile', async () => {
    const volume = await createVolume(cluster, 3, 64 * miB);
    await cluster.killNode('n2');
    await waitOffline(cluster, 'n1', 'n2');
    await cluster.api('n1').DeleteVolume({ id_or_name: volume.id });
    // The name is free at once, although a replica is still to be removed.
    const again = await cluster
      .api('n1')
      .CreateVolume({ name: volume.name, spec: { size_bytes: 64 * miB, replicas: 2 } });
    expect(again.id).not.toBe(volume.id);
    await cluster.startNode('n2');
    await waitFor('removal of the replica', 40_000, async () =>
      (await replicaDirectories(cluster, 'n2')).some((name) => name.includes(volume.id))
        ? undefined
        : true,
    );
    expect((await cluster.api('n2').GetStatus({})).alerts).toEqual([]);
    await cluster.api('n1').DeleteVolume({ id_or_name: again.id });
  }, 120_000);

  test('a snapshot asked for elsewhere is taken where the volume is attached', async () => {
    const volume = await createAttached(cluster, 2, 128 * miB);
    const [first = '', second = ''] = volume.replicaNodes;
    const other = ['n1', 'n2', 'n3'].find((node) => node !== first && node !== second) ?? 'n3';
    const mirror = new Mirror(32 * miB);
    const writer = mirror.startWriter(cluster, first, volume.device, 8);
    await writer.progress(200);
    await writer.stop();
    const name = `snap-of-${volume.name}`;
    const snapshot = await cluster
      .api(other)
      .CreateSnapshot({ volume_id_or_name: volume.id, name });
    const again = await cluster.api(second).CreateSnapshot({ volume_id_or_name: volume.id, name });
    expect(again.id).toBe(snapshot.id);
    const clone = await cluster.api(other).CreateVolume({
      name: `clone-of-${volume.name}`,
      spec: { size_bytes: 256 * miB, replicas: 3, fs: 'none' },
      from_volume_id: snapshot.id,
    });
    expect(clone.spec?.size_bytes).toBe(String(256 * miB));
    // Two replicas are copies; the third is filled by the healer.
    await healedAndEqual(cluster, other, clone.id, 3);
    const device = await waitFor('attach of the clone', 30_000, () =>
      attach(cluster, clone.id, other),
    );
    await mirror.verify(device);
    await detachAndDelete(cluster, clone.id, other);
    await cluster.api(other).DeleteVolume({ id_or_name: snapshot.id });
    await detachAndDelete(cluster, volume.id, first);
  }, 180_000);
});

async function replicaDirectories(cluster: DevCluster, node: string): Promise<string[]> {
  const devices = path.join(cluster.node(node).dataDir, 'devices');
  const names: string[] = [];
  for (const device of await readdir(devices)) {
    const replicas = path.join(devices, device, 'replicas');
    if (existsSync(replicas)) names.push(...(await readdir(replicas)));
  }
  return names;
}
