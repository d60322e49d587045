import type { DevCluster } from '../../tools/devcluster/cluster.js';
import { waitFor } from '../../tools/lib/wait.js';
import { useCluster, waitOffline } from '../support/clusters.js';
import { Mirror } from '../support/mirror.js';
import { describeOnCluster } from '../support/needs.js';
import { createAttached, detachAndDelete, expectEqual, healed, miB } from '../support/volumes.js';

/** As while its pod is replaced: the engine serves, and nobody answers for the node. */
describeOnCluster('A px-node that is away', () => {
  let cluster: DevCluster;
  useCluster((started) => (cluster = started));

  async function waitBack(via: string, name: string): Promise<void> {
    await waitFor(`return of ${name}`, 20_000, async () => {
      const { nodes } = await cluster.api(via).ListNodes({});
      return nodes.find((node) => node.name === name)?.state === 'offline' ? undefined : true;
    });
  }

  test('loses no volume to a snapshot or a growth that is asked for elsewhere', async () => {
    const volume = await createAttached(cluster, 2, 128 * miB);
    const [away = '', next = ''] = volume.replicaNodes;
    const mirror = new Mirror(32 * miB);
    const writer = mirror.startWriter(cluster, away, volume.device, 51);
    await writer.progress(300);
    const daemon = (await cluster.running(away)).get('px-node');
    if (daemon === undefined) throw new Error(`no px-node runs on ${away}`);
    const snapshot = { volume_id_or_name: volume.id, name: 'while-away' };
    const growth = { id_or_name: volume.id, size_bytes: 256 * miB };
    const refused = { code: 'unavailable', message: expect.stringMatching(/served by/) as string };
    process.kill(daemon, 'SIGSTOP');
    try {
      await waitOffline(cluster, next, away);
      await expect(cluster.api(next).CreateSnapshot(snapshot)).rejects.toMatchObject(refused);
      await expect(cluster.api(next).ResizeVolume(growth)).rejects.toMatchObject(refused);
      await writer.progress(200);
    } finally {
      process.kill(daemon, 'SIGCONT');
    }
    await waitBack(next, away);
    await cluster.api(next).CreateSnapshot(snapshot);
    await cluster.api(next).ResizeVolume(growth);
    await writer.progress(200);
    await writer.stop();
    await mirror.verify(volume.device);
    await healed(cluster, next, volume.id, 2);
    await expectEqual(cluster, next, volume.id, 2);
    await cluster.api(next).DeleteVolume({ id_or_name: 'while-away' });
    await detachAndDelete(cluster, volume.id, away);
  }, 180_000);
});
