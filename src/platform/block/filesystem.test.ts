import { FilesystemTool, readOnlyMountOptions, usualMountOptions } from './filesystem.js';
import { mountFilled } from './mount-filled.js';
import { Mounter } from './mounter.js';
import { scriptedRun, type ScriptedAnswer } from './testing-run.js';

const device = { path: '/dev/x', sizeBytes: 1024 ** 3 };
const done = { exitCode: 0 };

describe('FilesystemTool.format', () => {
  it('never forces mkfs, but over an xfs that mkfs left half-made', async () => {
    const { run, ran } = scriptedRun({ 'mkfs.ext4': done, 'mkfs.xfs': done });
    const tool = new FilesystemTool(run);
    await tool.format(device, { kind: 'empty' }, 'ext4', ['-b', '4096']);
    await tool.format(device, { kind: 'unfinished' }, 'ext4');
    await tool.format(device, { kind: 'empty' }, 'xfs');
    await tool.format(device, { kind: 'unfinished' }, 'xfs');
    expect(ran).toEqual([
      'mkfs.ext4 -q -m 0 -E nodiscard -b 4096 /dev/x',
      'mkfs.ext4 -q -m 0 -E nodiscard /dev/x',
      'mkfs.xfs -q -K /dev/x',
      'mkfs.xfs -q -K -f /dev/x',
    ]);
  });
});

describe('FilesystemTool.check', () => {
  it('accepts a repaired file system and refuses one that it could not repair', async () => {
    const repaired = scriptedRun({ fsck: { exitCode: 1 } });
    await new FilesystemTool(repaired.run).check(device, 'ext4');
    expect(repaired.ran).toEqual(['fsck -t ext4 -a /dev/x']);
    const broken = new FilesystemTool(scriptedRun({ fsck: { exitCode: 4 } }).run);
    await expect(broken.check(device, 'ext4')).rejects.toThrow('fsck');
    const xfs = scriptedRun({});
    await new FilesystemTool(xfs.run).check(device, 'xfs');
    expect(xfs.ran).toEqual([]);
  });
});

describe('FilesystemTool.grow', () => {
  it('knows no other file system', async () => {
    const { run, ran } = scriptedRun({});
    await expect(new FilesystemTool(run).grow('/dev/x', '/mnt', 'btrfs')).rejects.toMatchObject({
      code: 'failed_precondition',
    });
    expect(ran).toEqual([]);
  });
});

describe('mountFilled', () => {
  async function fill(fsType: 'ext4' | 'xfs', answers: Record<string, ScriptedAnswer>) {
    const { run, ran } = scriptedRun({ mount: done, umount: done, ...answers });
    const refusals: string[] = [];
    const tools = { mounter: new Mounter(run), filesystems: new FilesystemTool(run) };
    const wish = { device, path: '/mnt', fsType, options: ['discard'] };
    await mountFilled(tools, wish, (thrown) => refusals.push(String(thrown)));
    return { programs: ran.map((command) => command.split(' ')[0]), refusals };
  }

  it('mounts once when the file system grows while it is mounted', async () => {
    expect(await fill('ext4', { resize2fs: done })).toEqual({
      programs: ['mount', 'resize2fs'],
      refusals: [],
    });
    expect((await fill('xfs', { xfs_growfs: done })).programs).toEqual(['mount', 'xfs_growfs']);
  });

  it('grows an ext4 unmounted when it is refused, and leaves it mounted', async () => {
    const { programs, refusals } = await fill('ext4', { e2fsck: { exitCode: 1 } });
    expect(programs).toEqual(['mount', 'resize2fs', 'umount', 'e2fsck', 'resize2fs', 'mount']);
    expect(refusals).toEqual([expect.stringContaining('resize2fs failed')]);
  });

  it('leaves an xfs mounted that does not grow', async () => {
    const { programs, refusals } = await fill('xfs', {});
    expect(programs).toEqual(['mount', 'xfs_growfs']);
    expect(refusals).toEqual([expect.stringContaining('xfs_growfs failed')]);
  });

  it('does not mount an ext4 again when its user will not have it so', async () => {
    const { run, ran } = scriptedRun({ mount: done, umount: done });
    const tools = { mounter: new Mounter(run), filesystems: new FilesystemTool(run) };
    const wish = { device, path: '/mnt', fsType: 'ext4' as const, options: [] };
    const filled = mountFilled(tools, wish, (thrown) => {
      throw thrown;
    });
    await expect(filled).rejects.toThrow('e2fsck failed');
    expect(ran.at(-1)).toContain('e2fsck');
  });
});

describe('mount options', () => {
  it('follow the file system and what may be written', () => {
    expect(usualMountOptions('xfs', false)).toEqual(['discard', 'nouuid']);
    expect(usualMountOptions('ext4', true)).toEqual(['nodiscard', 'errors=remount-ro']);
    const writable = { readOnly: false, deviceReadOnly: false };
    expect(readOnlyMountOptions('ext4', writable)).toEqual([]);
    const snapshot = { readOnly: true, deviceReadOnly: true };
    expect(readOnlyMountOptions('ext4', snapshot)).toEqual(['ro', 'noload']);
    expect(readOnlyMountOptions('xfs', snapshot)).toEqual(['ro', 'norecovery']);
    expect(readOnlyMountOptions('xfs', { readOnly: true, deviceReadOnly: false })).toEqual(['ro']);
  });
});
