import { mkdir, truncate } from 'node:fs/promises';
import path from 'node:path';
import type { DevCluster } from '../../tools/devcluster/cluster.js';
import { FioRun, runFio } from '../../tools/lib/fio.js';
import { run } from '../../tools/lib/run.js';
import { waitFor } from '../../tools/lib/wait.js';
import { useCluster } from '../support/clusters.js';
import { Mirror } from '../support/mirror.js';
import { describeOnCluster } from '../support/needs.js';
import {
  attachAfterLoss,
  createAttached,
  detachAndDelete,
  expectEqual,
  giB,
  healed,
  healedAndEqual,
  miB,
  replicaState,
  type AttachedVolume,
  verifyingLoad,
  waitOut,
} from '../support/volumes.js';

/** Faults in the middle of getting well again. Resync is slow here, so that they can strike. */
describeOnCluster('recovery', () => {
  let cluster: DevCluster;
  useCluster((started) => (cluster = started), {
    config: { timing: { resyncBytesPerSecond: 12 * miB } },
  });

  /** A volume whose third replica has missed 128 MiB, and is being brought up to date. */
  async function resyncing(): Promise<AttachedVolume & { started: Promise<void> }> {
    const volume = await createAttached(cluster, 3, 256 * miB);
    const [attachedOn = '', , third = ''] = volume.replicaNodes;
    await cluster.killNode(third);
    const fill = { rw: 'write', bs: '1M', size: 128 * miB, iodepth: 4, end_fsync: 1 };
    const device = { filename: volume.device, ioengine: 'libaio', direct: 1 };
    await runFio({ ...device, ...fill, offset: 64 * miB });
    await waitOut(cluster, attachedOn, volume.id, third);
    const started = cluster.startNode(third);
    await inResync(volume, attachedOn, third);
    return { ...volume, started };
  }

  async function inResync(volume: AttachedVolume, via: string, node: string): Promise<void> {
    await waitFor(
      `resync of ${node}`,
      30_000,
      async () =>
        (await replicaState(cluster, via, volume.id, node)) === 'resync' ? true : undefined,
      50,
    );
  }

  test('the node that copies dies in the middle of a resync', async () => {
    const volume = await resyncing();
    const [first = '', second = '', third = ''] = volume.replicaNodes;
    const mirror = new Mirror(32 * miB);
    const writer = mirror.startWriter(cluster, first, volume.device, 31);
    await writer.progress(20);
    expect(await replicaState(cluster, first, volume.id, third)).toBe('resync');
    await cluster.killNode(first);
    await writer.ended;
    await volume.started;
    const device = await attachAfterLoss(cluster, volume.id, second);
    await mirror.verify(device);
    await cluster.startNode(first);
    await healed(cluster, second, volume.id, 3);
    await mirror.verify(device);
    await expectEqual(cluster, second, volume.id, 3);
    await detachAndDelete(cluster, volume.id, second);
  }, 180_000);

  test('the node that is copied to dies in the middle of a resync', async () => {
    const volume = await resyncing();
    const [first = '', , third = ''] = volume.replicaNodes;
    // Whether its daemon got as far as to serve is of no interest here.
    volume.started.catch(() => undefined);
    await cluster.killNode(third);
    const mirror = new Mirror(32 * miB);
    const writer = mirror.startWriter(cluster, first, volume.device, 32);
    await writer.progress(300);
    await cluster.startNode(third);
    await healed(cluster, first, volume.id, 3);
    await writer.stop();
    await mirror.verify(volume.device);
    await expectEqual(cluster, first, volume.id, 3);
    await detachAndDelete(cluster, volume.id, first);
  }, 180_000);

  test('all nodes die at one moment: every acknowledged write is there', async () => {
    const volume = await createAttached(cluster, 3, 256 * miB);
    const [first = ''] = volume.replicaNodes;
    const mirror = new Mirror(64 * miB);
    const writer = mirror.startWriter(cluster, first, volume.device, 33);
    await writer.progress(1000);
    await Promise.all(volume.replicaNodes.map((node) => cluster.killNode(node)));
    await writer.ended;
    await Promise.all(volume.replicaNodes.map((node) => cluster.startNode(node)));
    // It is still this node's: nobody took it over.
    const device = await attachAfterLoss(cluster, volume.id, first);
    await mirror.verify(device);
    await healedAndEqual(cluster, first, volume.id, 3);
    await detachAndDelete(cluster, volume.id, first);
  }, 180_000);

  test('a file system with 1 KiB blocks is whole after a resync under load', async () => {
    const volume = await cluster.api('n1').CreateVolume({
      name: 'small-blocks',
      spec: { size_bytes: String(512 * miB), replicas: 3, fs: 'none', block_size_bytes: 512 },
    });
    const { device_path } = await cluster
      .api('n1')
      .AttachVolume({ id_or_name: volume.id, frontend: 'fuse' });
    const mountPoint = path.join(cluster.node('n1').dir, 'small-blocks');
    await mkdir(mountPoint, { recursive: true });
    await run('mkfs.ext4', ['-q', '-b', '1024', device_path]);
    await run('mount', [device_path, mountPoint]);
    const load = new FioRun({
      ...{ directory: mountPoint, nrfiles: 20, size: '96M', rw: 'randwrite', bsrange: '1k-32k' },
      ...{ blockalign: '1k', ioengine: 'libaio', iodepth: 4, fsync: 16, rate: '8m' },
      ...{ verify: 'crc32c', verify_fatal: 1, randseed: 42 },
    });
    await cluster.killNode('n3');
    await waitOut(cluster, 'n1', volume.id, 'n3');
    await cluster.startNode('n3');
    expect((await load.done).error).toBe(0);
    await healed(cluster, 'n1', volume.id, 3);
    await run('umount', [mountPoint]);
    await run('e2fsck', ['-fn', device_path]);
    await expectEqual(cluster, 'n1', volume.id, 3);
    await detachAndDelete(cluster, volume.id, 'n1');
  }, 180_000);
});

describeOnCluster('a disk that fails', () => {
  let cluster: DevCluster;
  useCluster((started) => (cluster = started), { deviceSizeBytes: giB }, { mends: false });

  test('its replica is dropped, and the volume is up without an error', async () => {
    const volume = await createAttached(cluster, 3, 256 * miB);
    const [attachedOn = '', victim = ''] = volume.replicaNodes;
    const load = verifyingLoad(cluster, attachedOn, volume.device, 12);
    const mirror = new Mirror(16 * miB, 200 * miB);
    const writer = mirror.startWriter(cluster, attachedOn, volume.device, 41);
    await writer.progress(300);
    // The disk shrinks below its file system: what lies beyond its end is EIO from now on.
    const disk = (await cluster.info()).find((node) => node.name === victim)?.devices[0] ?? '';
    await truncate(path.join(cluster.node(victim).dir, 'disks/disk0.img'), 4 * miB);
    await run('losetup', ['--set-capacity', disk]);
    await waitOut(cluster, attachedOn, volume.id, victim);
    await writer.progress(300);
    await writer.stop();
    expect((await load.done).error).toBe(0);
    await mirror.verify(volume.device);
    await expectEqual(cluster, attachedOn, volume.id, 2);
  }, 180_000);
});
