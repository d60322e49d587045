import type { DevCluster } from '../../tools/devcluster/cluster.js';
import { run, tryRun } from '../../tools/lib/run.js';
import { waitFor } from '../../tools/lib/wait.js';
import { runFio } from '../../tools/lib/fio.js';
import { useCluster } from '../support/clusters.js';
import { Mirror } from '../support/mirror.js';
import { describeOnCluster } from '../support/needs.js';
import {
  attach,
  createAttached,
  detachAndDelete,
  expectEqual,
  giB,
  healedAndEqual,
  miB,
  verifyingLoad,
  waitOut,
} from '../support/volumes.js';

/** Writes 1 MiB blocks over a range with one byte value; the exit code says whether all went. */
async function fill(device: string, fromMiB: number, countMiB: number): Promise<number> {
  const args = ['if=/dev/zero', `of=${device}`, 'bs=1M', 'oflag=direct', 'conv=fsync,notrunc'];
  const range = [`seek=${fromMiB}`, `count=${countMiB}`];
  return (await tryRun('dd', [...args, ...range], { timeoutMs: 120_000 })).code;
}

describeOnCluster('space, snapshots, clones and growth', () => {
  let cluster: DevCluster;
  useCluster((started) => (cluster = started), { deviceSizeBytes: giB });

  test('a full pool is ENOSPC; overwrites go on; discards give space back', async () => {
    const volume = await createAttached(cluster, 3, 2 * giB);
    const [attachedOn = ''] = volume.replicaNodes;
    expect(await fill(volume.device, 0, 256)).toBe(0);
    // The pool has less than 1 GiB: this can't fit.
    expect(await fill(volume.device, 256, 1024)).not.toBe(0);
    // What has its space keeps it.
    const result = await runFio({
      ...{ filename: volume.device, size: '128M', rw: 'randwrite', bs: '64k', direct: 1 },
      ...{ ioengine: 'libaio', iodepth: 8, verify: 'crc32c', verify_fatal: 1 },
    });
    expect(result.error).toBe(0);
    await run('blkdiscard', ['-o', String(256 * miB), '-l', String(1536 * miB), volume.device]);
    await waitFor('space after the discard', 30_000, async () => {
      const status = await cluster.api(attachedOn).GetStatus({});
      const available = Number(status.pools[0]?.available_bytes ?? '0');
      return available > 400 * miB ? true : undefined;
    });
    expect(await fill(volume.device, 1024, 128)).toBe(0);
    await healedAndEqual(cluster, attachedOn, volume.id, 3);
    await detachAndDelete(cluster, volume.id, attachedOn);
  }, 240_000);

  test('a snapshot under load is one moment on all replicas, and restores', async () => {
    const volume = await createAttached(cluster, 3, 128 * miB);
    const [attachedOn = '', other = ''] = volume.replicaNodes;
    const api = cluster.api(attachedOn);
    const mirror = new Mirror(16 * miB, 64 * miB);
    const still = mirror.startWriter(cluster, attachedOn, volume.device, 5);
    await still.progress(300);
    await still.stop();
    // The rest of the volume changes while the snapshot is taken.
    const busy = new Mirror(32 * miB);
    const writer = busy.startWriter(cluster, attachedOn, volume.device, 6);
    await writer.progress(500);
    const snapshot = await api.CreateSnapshot({ volume_id_or_name: volume.id, name: 'snap' });
    expect(snapshot.read_only).toBe(true);
    await writer.progress(500);
    await writer.stop();
    await expectEqual(cluster, attachedOn, snapshot.id, 3);

    const clone = await api.CloneVolume({ source_id_or_name: snapshot.id, name: 'clone' });
    const cloneDevice = await attach(cluster, clone.id, other);
    await mirror.verify(cloneDevice);
    const onlyClone = new Mirror(16 * miB, 96 * miB);
    const onClone = onlyClone.startWriter(cluster, other, cloneDevice, 8);
    await onClone.progress(300);
    await onClone.stop();
    await onlyClone.verify(cloneDevice);
    await busy.verify(volume.device);
    await expectEqual(cluster, other, clone.id, 3);
    await detachAndDelete(cluster, clone.id, other);

    // What is written after the snapshot is gone with the restore.
    const later = new Mirror(16 * miB, 112 * miB);
    const written = later.startWriter(cluster, attachedOn, volume.device, 9);
    await written.progress(300);
    await written.stop();
    await api.DetachVolume({ id_or_name: volume.id });
    await api.RestoreSnapshot({ volume_id_or_name: volume.id, snapshot_id_or_name: snapshot.id });
    const restored = await attach(cluster, volume.id, attachedOn);
    await mirror.verify(restored);
    await new Mirror(16 * miB, 112 * miB).verify(restored);
    await healedAndEqual(cluster, attachedOn, volume.id, 3);
    await api.DetachVolume({ id_or_name: volume.id });
    await api.DeleteVolume({ id_or_name: snapshot.id });
    await api.DeleteVolume({ id_or_name: volume.id });
  }, 240_000);

  test('growth and discards while a replica catches up', async () => {
    const volume = await createAttached(cluster, 3, 256 * miB);
    const [attachedOn = '', victim = ''] = volume.replicaNodes;
    const load = verifyingLoad(cluster, attachedOn, volume.device, 10);
    await cluster.killNode(victim);
    await waitOut(cluster, attachedOn, volume.id, victim);
    const started = cluster.startNode(victim);
    const grown = await cluster
      .api(attachedOn)
      .ResizeVolume({ id_or_name: volume.id, size_bytes: String(384 * miB) });
    expect(grown.spec?.size_bytes).toBe(String(384 * miB));
    await run('blkdiscard', ['-o', String(160 * miB), '-l', String(64 * miB), volume.device]);
    await started;
    expect((await load.done).error).toBe(0);
    await waitFor('the device to grow', 10_000, async () => {
      const bytes = (await run('blockdev', ['--getsize64', volume.device])).trim();
      return bytes === String(384 * miB) ? true : undefined;
    });
    expect(await fill(volume.device, 300, 64)).toBe(0);
    await healedAndEqual(cluster, attachedOn, volume.id, 3);
    await detachAndDelete(cluster, volume.id, attachedOn);
  }, 240_000);
});
