import { mkdtemp, open, readFile, rm, truncate, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { readMountInfo } from '../../src/platform/block/mountinfo.js';
import type { NodeApi } from '../../src/platform/grpc-client.js';
import { run, tryRun } from '../../tools/lib/run.js';
import { startFakePxNode, type FakePxNode } from '../support/fake-px-node.js';
import { describeOnCluster } from '../support/needs.js';
import { writePartitionTable } from '../support/partition-table.js';
import { pxctlOn, type Outcome } from './in-process.js';

/** `host mount` and `host unmount` on the real kernel; the px-node below is a fake. */
describeOnCluster('host mount and unmount on the kernel', () => {
  let fake: FakePxNode;
  let directory: string;
  let path: string;
  let counter = 0;

  const pxctl = (...args: string[]): Promise<Outcome> => pxctlOn(fake.address, args);

  async function make(fs: string): Promise<{ name: string; id: string }> {
    const name = `v${(counter += 1)}`;
    const { out } = await pxctl('volume', 'create', name, '-s', '512M', '--fs', fs);
    return { name, id: out.trim().split(' ').at(-1) ?? '' };
  }

  async function mountsHere(): Promise<string[]> {
    const mounts = await readMountInfo('/proc/self/mountinfo');
    return mounts.map((mount) => mount.mountPoint).filter((at) => at.startsWith(`${directory}/`));
  }

  async function isAttached(name: string): Promise<boolean> {
    const { out } = await pxctl('volume', 'inspect', name, '-j');
    return (JSON.parse(out) as { state: string }[])[0]?.state === 'attached';
  }

  /** Puts something onto the volume's device as somebody else would. */
  async function onDevice<T>(name: string, act: (device: string) => Promise<T>): Promise<T> {
    const { out } = await pxctl('host', 'attach', name, '-j');
    const done = await act((JSON.parse(out) as { device_path: string }).device_path);
    expect((await pxctl('host', 'detach', name)).code).toBe(0);
    return done;
  }

  const firstMiB = (name: string): Promise<string> =>
    onDevice(name, (device) => run('sh', ['-c', `head -c 1048576 ${device} | sha256sum`]));

  beforeEach(async () => {
    directory = await mkdtemp(join(tmpdir(), 'pxctl-host-'));
    path = join(directory, 'mnt');
    fake = await startFakePxNode(join(process.cwd(), 'proto'));
  });

  afterEach(async () => {
    for (const at of (await mountsHere()).reverse()) await run('umount', [at]);
    await fake.close();
    await rm(directory, { recursive: true, force: true });
  });

  test.each(['ext4', 'xfs'])('an empty volume gets %s once and keeps its files', async (fs) => {
    const { name } = await make(fs);
    const first = await pxctl('host', 'mount', name, '--path', path);
    expect(first).toMatchObject({ code: 0, err: '' });
    expect(first.out).toContain(`new ${fs}`);
    await writeFile(join(path, 'file'), 'kept');
    const again = await pxctl('host', 'mount', name, '--path', path);
    expect(again).toMatchObject({
      code: 0,
      out: `Volume ${name} is mounted at ${path} already.\n`,
    });
    expect(await mountsHere()).toEqual([path]);
    expect((await pxctl('host', 'unmount', name, '--path', path)).code).toBe(0);
    expect(await isAttached(name)).toBe(false);
    expect(await mountsHere()).toEqual([]);
    expect((await pxctl('host', 'unmount', name, '--path', path)).code).toBe(0);
    const second = await pxctl('host', 'mount', name, '--path', path);
    expect(second.out).not.toContain('new');
    expect(await readFile(join(path, 'file'), 'utf8')).toBe('kept');
  });

  test.each([
    ['another file system', (device: string) => run('mkfs.xfs', ['-q', device])],
    ['a file system that px does not make', (device: string) => run('mkfs.ext3', ['-q', device])],
    ['swap space', (device: string) => run('mkswap', [device])],
    ['a partition table', writePartitionTable],
  ])('%s is left as it is', async (_what, fill: (device: string) => Promise<unknown>) => {
    const { name } = await make('ext4');
    await onDevice(name, fill);
    const before = await firstMiB(name);
    expect(before).toMatch(/^[0-9a-f]{64} /);
    const refused = await pxctl('host', 'mount', name, '--path', path);
    expect(refused.code).toBe(5);
    expect(refused.err).toMatch(/^pxctl: volume "v\d+" holds .* it is left as it is[^\n]*\n$/);
    expect(await isAttached(name)).toBe(false);
    expect(await firstMiB(name)).toBe(before);
  });

  test('raw block gets no file system, and an empty snapshot neither', async () => {
    const raw = await make('none');
    expect((await pxctl('host', 'mount', raw.name, '--path', path)).code).toBe(5);
    const empty = await make('ext4');
    await pxctl('volume', 'snapshot', 'create', empty.name, '--name', 'snap');
    const refused = await pxctl('host', 'mount', 'snap', '--path', path);
    expect(refused).toMatchObject({ code: 5, out: '' });
    expect(refused.err).toContain('read-only');
    expect(await mountsHere()).toEqual([]);
  });

  test('a device that is not of the volume on this machine is never touched', async () => {
    const { name } = await make('ext4');
    const file = join(directory, 'other-disk');
    await (await open(file, 'w')).close();
    await truncate(file, 64 * 1024 ** 2);
    const other = (await run('losetup', ['-f', '--show', file])).trim();
    try {
      const elsewhere = (api: NodeApi): NodeApi => ({
        ...api,
        AttachVolume: async () => ({
          ...{ device_path: other, nbd_uri: '', epoch: '1', size_bytes: '0' },
        }),
      });
      const args = ['host', 'mount', name, '--path', path];
      const refused = await pxctlOn(fake.address, args, elsewhere);
      expect(refused.code).toBe(5);
      expect(refused.err).toContain('is not the device of volume');
      expect((await tryRun('blkid', ['-p', other])).code).toBe(2);
    } finally {
      await run('losetup', ['-d', other]);
    }
  });

  test('an mkfs.xfs that was cut off is made again', async () => {
    const { name } = await make('xfs');
    await onDevice(name, async (device) => {
      await run('mkfs.xfs', ['-q', device]);
      const block = await open(device, 'r+');
      // sb_inprogress, which mkfs.xfs clears last.
      await block.write(Buffer.from([1]), 0, 1, 126);
      await block.sync();
      await block.close();
    });
    const mounted = await pxctl('host', 'mount', name, '--path', path);
    expect(mounted).toMatchObject({ code: 0 });
    expect(mounted.out).toContain('new xfs');
  });

  test("a path with something else on it is refused, and so is another volume's", async () => {
    const first = await make('ext4');
    const second = await make('ext4');
    expect((await pxctl('host', 'mount', first.name, '--path', path)).code).toBe(0);
    const refused = await pxctl('host', 'mount', second.name, '--path', path);
    expect(refused.code).toBe(5);
    expect(refused.err).toContain(`${path} is the mount point of ${fake.devicePath(first.id)}`);
    expect(await isAttached(second.name)).toBe(false);
    const foreign = await pxctl('host', 'unmount', second.name, '--path', path);
    expect(foreign.code).toBe(5);
    expect(await mountsHere()).toEqual([path]);
  });

  test('mounted on two paths: it says so, and is detached with the last one', async () => {
    const { name } = await make('ext4');
    const other = join(directory, 'other');
    await pxctl('host', 'mount', name, '--path', path);
    expect((await pxctl('host', 'mount', name, '--path', other)).code).toBe(0);
    const which = await pxctl('host', 'unmount', name);
    expect(which.code).toBe(5);
    expect(which.err).toContain('say which with --path');
    const one = await pxctl('host', 'unmount', name, '--path', other);
    expect(one.code).toBe(0);
    expect(one.out).toContain(`It stays attached: it is mounted on ${path}`);
    const mounted = await pxctl('host', 'detach', name);
    expect(mounted.code).toBe(5);
    expect(mounted.err).toContain(`pxctl host unmount ${name}`);
    expect((await pxctl('host', 'unmount', name)).code).toBe(0);
    expect(await isAttached(name)).toBe(false);
  });

  test('one that is in use stays, with the command that shows by whom', async () => {
    const { name } = await make('ext4');
    await pxctl('host', 'mount', name, '--path', path);
    const file = await open(join(path, 'open'), 'w');
    const busy = await pxctl('host', 'unmount', name);
    await file.close();
    expect(busy.code).toBe(5);
    expect(busy.err).toContain(`fuser -vm ${path}`);
    expect(await isAttached(name)).toBe(true);
    expect((await pxctl('host', 'unmount', name)).code).toBe(0);
  });

  test('a read-only mount takes no writes and is not taken for a writable one', async () => {
    const { name } = await make('ext4');
    await pxctl('host', 'mount', name, '--path', path);
    await pxctl('host', 'unmount', name);
    const readOnly = ['host', 'mount', name, '--path', path, '--read-only'];
    expect((await pxctl(...readOnly)).code).toBe(0);
    await expect(writeFile(join(path, 'file'), 'x')).rejects.toMatchObject({ code: 'EROFS' });
    const writable = await pxctl('host', 'mount', name, '--path', path);
    expect(writable.code).toBe(5);
    expect(writable.err).toContain('mounted read-only');
  });

  test('what a dead px-node left mounted is found by the file below it', async () => {
    const { name, id } = await make('ext4');
    await pxctl('host', 'mount', name, '--path', path);
    await fake.loseDevice(id);
    expect(await isAttached(name)).toBe(false);
    expect((await pxctl('host', 'unmount', name, '--path', path)).code).toBe(0);
    expect(await mountsHere()).toEqual([]);
  });

  test('a volume that grew while it was mounted nowhere is filled at the next mount', async () => {
    const { name } = await make('ext4');
    await pxctl('host', 'mount', name, '--path', path);
    await writeFile(join(path, 'file'), 'kept');
    const unmounted = await pxctl('host', 'unmount', name);
    expect(unmounted).toMatchObject({ code: 0, err: '' });
    expect((await pxctl('volume', 'resize', name, '-s', '1')).code).toBe(0);
    const again = await pxctl('host', 'mount', name, '--path', path);
    expect(again).toMatchObject({ code: 0, err: '' });
    const shown = await run('df', ['--output=size', '-B1M', path]);
    expect(Number(shown.trim().split('\n').at(-1))).toBeGreaterThan(900);
    expect(await readFile(join(path, 'file'), 'utf8')).toBe('kept');
  });

  test('a snapshot is mounted without its journal, and that is said', async () => {
    const { name } = await make('ext4');
    await pxctl('host', 'mount', name, '--path', path);
    await writeFile(join(path, 'file'), 'kept');
    await pxctl('host', 'unmount', name);
    const made = await pxctl('volume', 'snapshot', 'create', name, '--name', 'snap');
    expect(made).toMatchObject({ code: 0, err: '' });
    const mounted = await pxctl('host', 'mount', 'snap', '--path', path);
    expect(mounted.code).toBe(0);
    expect(mounted.err).toContain('journal was not replayed');
    expect(await readFile(join(path, 'file'), 'utf8')).toBe('kept');
    await expect(writeFile(join(path, 'x'), 'x')).rejects.toMatchObject({ code: 'EROFS' });
  });
});
