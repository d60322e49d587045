import { mkdirSync, readFileSync, statSync } from 'node:fs';
import { basename, join } from 'node:path';
import { BlockBench, sh } from '../support/block-bench.js';

jest.setTimeout(180_000);

const miB = 1024 * 1024;

let bench: BlockBench;
beforeAll(async () => {
  bench = await BlockBench.start();
});
afterAll(async () => {
  await bench[Symbol.asyncDispose]();
});

const sys = (device: string, file: string): string =>
  readFileSync(`/sys/block/${basename(device)}/${file}`, 'utf8').trim();

const verify = (file: string, extra: readonly string[] = []): Promise<string> =>
  sh('fio', [
    ...['--name=verify', `--filename=${file}`, '--rw=randwrite', '--direct=1'],
    ...[
      '--ioengine=libaio',
      '--iodepth=32',
      '--verify=crc32c',
      '--verify_state_save=0',
      '--verify_fatal=1',
    ],
    ...extra,
  ]);

test.each([
  ['ext4', ['-q']],
  ['xfs', ['-q']],
])('%s: made, mounted, written, checked', async (fs, flags) => {
  const id = `fs-${fs}`;
  const device = await bench.attach(id, { sizeBytes: 512 * 1024 * 1024 });
  expect(sys(device, 'queue/logical_block_size')).toBe('4096');
  await sh(`mkfs.${fs}`, [...flags, device]);
  const mountPoint = join(bench.runDir, id);
  mkdirSync(mountPoint);
  await sh('mount', [device, mountPoint]);
  try {
    await verify(join(mountPoint, 'file'), ['--size=64m', '--bsrange=4k-1m', '--fsync=16']);
    await expect(
      bench.holder.call('device.detach', { volumeId: id, force: false }),
    ).rejects.toMatchObject({ code: 'failed_precondition' });
  } finally {
    await sh('umount', [mountPoint]);
  }
  await sh(fs === 'ext4' ? 'e2fsck' : 'xfs_repair', [fs === 'ext4' ? '-fn' : '-n', device]);
  await bench.holder.call('device.detach', { volumeId: id, force: false });
  await bench.holder.call('volume.release', { volumeId: id, force: false });
  const { volumes } = await bench.holder.call('volume.list', {});
  expect(volumes.map(({ volumeId }) => volumeId)).not.toContain(id);
});

test('512-byte blocks, discard, write-zeroes and flushes reach the engine', async () => {
  const device = await bench.attach('small', { blockSizeBytes: 512, sizeBytes: 64 * 1024 * 1024 });
  expect(sys(device, 'queue/logical_block_size')).toBe('512');
  await verify(device, ['--size=8m', '--bs=512']);
  await sh('dd', ['if=/dev/urandom', `of=${device}`, 'bs=1M', 'count=32', 'oflag=direct']);
  const image = join(bench.runDir, 'images', 'small');
  const before = await bench.counts('small');
  const full = statSync(image).blocks;
  await sh('blkdiscard', ['--offset', '0', '--length', String(16 * 1024 * 1024), device]);
  await sh('blkdiscard', ['--zeroout', '--offset', '16777216', '--length', '8388608', device]);
  const after = await bench.counts('small');
  expect(after.zeroedBytes - before.zeroedBytes).toBe(24 * 1024 * 1024);
  expect(statSync(image).blocks).toBeLessThan(full);
  expect(await sh('cmp', ['-n', '25165824', device, '/dev/zero'])).toBe('');
  await sh('dd', ['if=/dev/zero', `of=${device}`, 'bs=4k', 'count=3', 'oflag=direct,sync']);
  expect((await bench.counts('small')).flushes - after.flushes).toBeGreaterThanOrEqual(3);
});

test('a read-only volume refuses writes', async () => {
  const device = await bench.attach('frozen', { readOnly: true });
  expect(sys(device, 'ro')).toBe('1');
  await expect(sh('dd', ['if=/dev/zero', `of=${device}`, 'count=1'])).rejects.toThrow();
  const { volumes } = await bench.holder.call('volume.list', {});
  const path = volumes.find(({ volumeId }) => volumeId === 'frozen')?.path ?? '';
  // Past the loop device too: the FUSE file itself says EROFS.
  await expect(
    sh('dd', ['if=/dev/zero', `of=${path}`, 'bs=4096', 'count=1', 'conv=notrunc', 'status=none']),
  ).rejects.toThrow('Read-only file system');
  expect((await bench.counts('frozen')).writes).toBe(0);
});

test('growing while it is written', async () => {
  const device = await bench.attach('grow', { sizeBytes: 64 * 1024 * 1024 });
  const load = verify(device, ['--size=64m', '--bs=4k', '--time_based', '--runtime=3']);
  await bench.resize('grow', 128 * 1024 * 1024);
  expect(Number(sys(device, 'size')) * 512).toBe(128 * 1024 * 1024);
  await load;
  await verify(device, ['--offset=64m', '--size=64m', '--bs=64k']);
  await bench.resize('grow', 128 * 1024 * 1024);
});

/**
 * FUSE drops the attributes of an answer that a write overtook: the kernel's idea of the
 * file's length then stays behind, and what is read behind it is an I/O error.
 */
test('what has just grown can be read while writes go on', async () => {
  const device = await bench.attach('grow-read', { sizeBytes: 64 * miB });
  let growing = true;
  const writeWhileGrowing = async (): Promise<void> => {
    const load = ['--size=64m', '--bs=4k', '--time_based', '--runtime=2'];
    while (growing) await verify(device, load);
  };
  const written = writeWhileGrowing();
  try {
    for (let sizeMiB = 65; sizeMiB <= 164; sizeMiB++) {
      await bench.resize('grow-read', sizeMiB * miB);
      const lastMiB = `skip=${sizeMiB - 1}`;
      await sh('dd', [`if=${device}`, 'of=/dev/null', 'bs=1M', lastMiB, 'iflag=direct']);
    }
  } finally {
    growing = false;
    await written;
  }
});

test('attaching again answers the same device', async () => {
  const first = await bench.attach('again');
  const second = await bench.holder.call('device.attach', {
    volumeId: 'again',
    blockSizeBytes: 4096,
    readOnly: false,
    discard: true,
  });
  expect(second.devicePath).toBe(first);
});

test('more volumes than slots would allow at full depth share the thread', async () => {
  const devices = await Promise.all(
    ['many-a', 'many-b', 'many-c', 'many-d'].map((id) => bench.attach(id)),
  );
  await Promise.all(
    devices.map((device) => verify(device, ['--size=32m', '--bs=4k', '--iodepth=128'])),
  );
});
