import { PxError } from '../../src/kernel/errors.js';
import type { DevCluster } from '../../tools/devcluster/cluster.js';
import { waitFor } from '../../tools/lib/wait.js';
import { useCluster } from '../support/clusters.js';
import { Mirror } from '../support/mirror.js';
import { describeOnCluster } from '../support/needs.js';
import {
  createAttached,
  createVolume,
  detachAndDelete,
  expectEqual,
  healed,
  miB,
  waitOut,
} from '../support/volumes.js';

/** With etcd gone, what needs no decision goes on, and what needs one waits or is refused. */
describeOnCluster('etcd is down', () => {
  let cluster: DevCluster;
  useCluster((started) => (cluster = started));

  async function state(node: string): Promise<string> {
    return (await cluster.api(node).GetStatus({})).state;
  }

  test('an attached volume goes on, decisions are refused, and it all comes back', async () => {
    const volume = await createAttached(cluster, 3, 128 * miB);
    const [attachedOn = ''] = volume.replicaNodes;
    const mirror = new Mirror(32 * miB);
    const writer = mirror.startWriter(cluster, attachedOn, volume.device, 1);
    await writer.progress(300);
    await cluster.killEtcd();
    await waitFor('state kvdb_unavailable', 30_000, async () =>
      (await state(attachedOn)) === 'kvdb_unavailable' ? true : undefined,
    );
    // Well past every lease and time-to-live.
    await new Promise((resolve) => setTimeout(resolve, 8000));
    await writer.progress(300);
    await expect(createVolume(cluster, 1, 64 * miB)).rejects.toMatchObject({
      code: expect.stringMatching(/unavailable|deadline_exceeded/) as unknown,
    });

    await cluster.startEtcd();
    await waitFor('operational nodes', 60_000, async () => {
      const states = await Promise.all(['n1', 'n2', 'n3'].map(state));
      return states.every((one) => one === 'operational') ? true : undefined;
    });
    await writer.progress(300);
    await writer.stop();
    await mirror.verify(volume.device);
    await expectEqual(cluster, attachedOn, volume.id, 3);
    await detachAndDelete(cluster, volume.id, attachedOn);
  }, 180_000);

  test('a replica lost while etcd is down: writes wait for the decision, none is lost', async () => {
    const volume = await createAttached(cluster, 2, 128 * miB);
    const [attachedOn = '', victim = ''] = volume.replicaNodes;
    const mirror = new Mirror(32 * miB);
    const writer = mirror.startWriter(cluster, attachedOn, volume.device, 2);
    await writer.progress(300);
    await cluster.killEtcd();
    await cluster.killNode(victim);
    await new Promise((resolve) => setTimeout(resolve, 6000));
    const waiting = mirror.acknowledged;
    await new Promise((resolve) => setTimeout(resolve, 4000));
    // Nobody may acknowledge what the other replica missed before etcd says so.
    expect(mirror.acknowledged).toBe(waiting);

    await cluster.startEtcd();
    await writer.progress(300, 60_000);
    await waitOut(cluster, attachedOn, volume.id, victim);
    await cluster.startNode(victim);
    await healed(cluster, attachedOn, volume.id, 2);
    await writer.stop();
    await mirror.verify(volume.device);
    await expectEqual(cluster, attachedOn, volume.id, 2);
    await detachAndDelete(cluster, volume.id, attachedOn);
  }, 180_000);

  test('an unknown volume is still told apart from a missing etcd', async () => {
    const failure = await cluster
      .api('n1')
      .GetVolume({ id_or_name: 'no-such-volume' })
      .catch((error: unknown) => error);
    expect(failure).toBeInstanceOf(PxError);
    expect((failure as PxError).code).toBe('not_found');
  }, 30_000);
});
