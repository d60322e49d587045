import { PxError } from '../../src/kernel/errors.js';
import type { DevCluster } from '../../tools/devcluster/cluster.js';
import { useCluster } from '../support/clusters.js';
import { Mirror } from '../support/mirror.js';
import { describeOnCluster } from '../support/needs.js';
import {
  attach,
  attachAfterLoss,
  createAttached,
  createVolume,
  detachAndDelete,
  expectEqual,
  healed,
  healedAndEqual,
  miB,
  waitOut,
} from '../support/volumes.js';

/** What happens to acknowledged writes when the node where the volume is attached goes. */
describeOnCluster('the attached node is lost', () => {
  let cluster: DevCluster;
  useCluster((started) => (cluster = started));

  test.each([2, 3])(
    'kill -9 with %d replicas: no acknowledged write lost, attached elsewhere in under 15 s',
    async (replicas) => {
      const volume = await createAttached(cluster, replicas, 256 * miB);
      const [attachedOn = '', next = ''] = volume.replicaNodes;
      const low = new Mirror(64 * miB);
      const halves = [low, new Mirror(64 * miB, 64 * miB)];
      const writers = halves.map((half, index) =>
        half.startWriter(cluster, attachedOn, volume.device, index + 1),
      );
      await Promise.all(writers.map((writer) => writer.progress(1000)));

      await cluster.killNode(attachedOn);
      const died = performance.now();
      await Promise.all(writers.map((writer) => writer.ended));
      const device = await attachAfterLoss(cluster, volume.id, next);
      const seconds = (performance.now() - died) / 1000;
      for (const half of halves) await half.verify(device);
      expect(seconds).toBeLessThan(15);

      // The new node writes on, the old one comes back, and only what it missed is copied.
      const writer = low.startWriter(cluster, next, device, 3);
      await writer.progress(500);
      await cluster.startNode(attachedOn);
      await healed(cluster, next, volume.id, replicas);
      await writer.stop();
      for (const half of halves) await half.verify(device);
      await expectEqual(cluster, next, volume.id, replicas);
      await detachAndDelete(cluster, volume.id, next);
    },
    180_000,
  );

  test('two nodes attach in turn and write: nothing diverges', async () => {
    const volume = await createVolume(cluster, 3, 128 * miB);
    const mirror = new Mirror(32 * miB);
    for (const node of ['n1', 'n2', 'n1', 'n3']) {
      const device = await attach(cluster, volume.id, node);
      await mirror.verify(device);
      const writer = mirror.startWriter(cluster, node, device, 7);
      await writer.progress(300);
      await writer.stop();
      await cluster.api(node).DetachVolume({ id_or_name: volume.id });
    }
    await expectEqual(cluster, 'n2', volume.id, 3);
    const device = await attach(cluster, volume.id, 'n2');
    await mirror.verify(device);
    await detachAndDelete(cluster, volume.id, 'n2');
  }, 120_000);

  test('a cut-off node is taken over from: its writes are not acknowledged any more', async () => {
    const volume = await createAttached(cluster, 3, 128 * miB);
    const [old = '', next = ''] = volume.replicaNodes;
    const mirror = new Mirror(32 * miB);
    const writer = mirror.startWriter(cluster, old, volume.device, 11);
    await writer.progress(500);

    await cluster.partition(old);
    const device = (
      await cluster.api(next).AttachVolume({ id_or_name: volume.id, frontend: 'fuse', force: true })
    ).device_path;
    // Whatever the old side acknowledged before it was fenced is here.
    const before = mirror.acknowledged;
    await mirror.verify(device);
    const other = new Mirror(32 * miB, 64 * miB);
    const second = other.startWriter(cluster, next, device, 12);
    await second.progress(500);
    expect(mirror.acknowledged).toBe(before);

    await cluster.heal();
    await second.progress(200);
    await second.stop();
    // The old side's blocked write ends in an error, or with the kill: it never succeeds.
    await writer.kill();
    expect(mirror.acknowledged).toBe(before);
    await mirror.verify(device);
    await other.verify(device);
    await healedAndEqual(cluster, next, volume.id, 3);
    await detachAndDelete(cluster, volume.id, next);
  }, 180_000);

  test('cut off from everybody it waits, and goes on when the network is back', async () => {
    const volume = await createAttached(cluster, 3, 128 * miB);
    const [attachedOn = ''] = volume.replicaNodes;
    const mirror = new Mirror(32 * miB);
    const writer = mirror.startWriter(cluster, attachedOn, volume.device, 13);
    await writer.progress(500);
    await cluster.partition(attachedOn);
    // Longer than any lease: what is acknowledged later would be acknowledged alone.
    await new Promise((resolve) => setTimeout(resolve, 8000));
    const waiting = mirror.acknowledged;
    await new Promise((resolve) => setTimeout(resolve, 4000));
    expect(mirror.acknowledged).toBe(waiting);
    await cluster.heal();
    await writer.progress(500, 60_000);
    await writer.stop();
    await mirror.verify(volume.device);
    await healedAndEqual(cluster, attachedOn, volume.id, 3);
    await detachAndDelete(cluster, volume.id, attachedOn);
  }, 180_000);

  test('a replica that missed writes can not be attached alone', async () => {
    const volume = await createAttached(cluster, 2, 128 * miB);
    const [first = '', second = ''] = volume.replicaNodes;
    const mirror = new Mirror(32 * miB);
    const writer = mirror.startWriter(cluster, first, volume.device, 17);
    await writer.progress(300);
    await cluster.killNode(second);
    await waitOut(cluster, first, volume.id, second);
    await writer.progress(300);
    await cluster.killNode(first);
    await writer.ended;

    await cluster.startNode(second);
    // It lacks writes that were acknowledged: there is no right answer but to refuse.
    const attempt = cluster
      .api(second)
      .AttachVolume(
        { id_or_name: volume.id, frontend: 'fuse', force: true },
        { timeoutMs: 20_000 },
      );
    await expect(attempt).rejects.toBeInstanceOf(PxError);

    await cluster.api(second).DetachVolume({ id_or_name: volume.id, force: true });
    await cluster.startNode(first);
    const device = await attach(cluster, volume.id, first);
    await mirror.verify(device);
    await healed(cluster, first, volume.id, 2);
    await mirror.verify(device);
    await expectEqual(cluster, first, volume.id, 2);
    await detachAndDelete(cluster, volume.id, first);
  }, 240_000);

  test('every replica killed in turn while writing', async () => {
    const volume = await createAttached(cluster, 3, 128 * miB);
    const [attachedOn = '', second = '', third = ''] = volume.replicaNodes;
    const mirror = new Mirror(64 * miB);
    const writer = mirror.startWriter(cluster, attachedOn, volume.device, 19);
    for (const victim of [second, third]) {
      await writer.progress(200);
      await cluster.killNode(victim);
      await waitOut(cluster, attachedOn, volume.id, victim);
      await writer.progress(200);
      await cluster.startNode(victim);
      await healed(cluster, attachedOn, volume.id, 3);
    }
    await cluster.killNode(attachedOn);
    await writer.ended;
    const device = await attachAfterLoss(cluster, volume.id, second);
    await mirror.verify(device);
    await cluster.startNode(attachedOn);
    await healed(cluster, second, volume.id, 3);
    await mirror.verify(device);
    await expectEqual(cluster, second, volume.id, 3);
    await detachAndDelete(cluster, volume.id, second);
  }, 240_000);
});
