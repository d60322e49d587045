import { mkdtemp, open, rm, truncate } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { runCommand } from '../run-command.js';
import { probeContent, readSignatures } from './probe.js';
import { scriptedRun, type ScriptedAnswer } from './testing-run.js';

const device = { path: '/dev/null', sizeBytes: 1024 ** 3 };
const copied = { exitCode: 0, stderr: '1+0 records in\n1048576 bytes (1.0 MB) copied, 0 s\n' };

const probe = (answers: Record<string, ScriptedAnswer>) =>
  probeContent(scriptedRun(answers).run, device);

describe('probeContent with scripted programs', () => {
  it('calls a device empty only when blkid finds nothing and both ends can be read', async () => {
    const { run, ran } = scriptedRun({ blkid: { exitCode: 2 }, dd: copied });
    expect(await probeContent(run, device)).toEqual({ kind: 'empty' });
    expect(ran.filter((command) => command.startsWith('dd '))).toEqual([
      expect.stringContaining('skip=0 '),
      expect.stringContaining(`skip=${1024 ** 3 - 1024 ** 2} `),
    ]);
  });

  it('never calls a device empty that cannot be read', async () => {
    await expect(probe({ blkid: { exitCode: 2 }, dd: { exitCode: 1 } })).rejects.toThrow('dd');
    await expect(probe({ blkid: { exitCode: 4 }, dd: copied })).rejects.toThrow('blkid');
    await expect(probe({ dd: copied })).rejects.toThrow('blkid');
  });

  it('never calls a device empty that ends before its size', async () => {
    const short = { exitCode: 0, stderr: '0+1 records in\n512 bytes copied, 0 s\n' };
    await expect(probe({ blkid: { exitCode: 2 }, dd: short })).rejects.toThrow('ends before');
    await expect(probe({ blkid: { exitCode: 2 }, dd: { exitCode: 0 } })).rejects.toThrow('ends');
  });

  test.each([
    [{ exitCode: 8 }, /several/],
    [{ exitCode: 0, stdout: 'TYPE=LVM2_member\n' }, /LVM2_member/],
    [{ exitCode: 0, stdout: 'PTTYPE=gpt\n' }, /gpt partition table/],
    [{ exitCode: 0, stdout: '' }, /cannot name/],
    [{ exitCode: 2, stdout: 'TYPE=xfs\n' }, /cannot name/],
    [{ exitCode: 0, stdout: 'TYPE=ext3\n' }, /ext3/],
  ])('calls %j foreign', async (blkid, what) => {
    expect(await probe({ blkid })).toEqual({
      kind: 'foreign',
      what: expect.stringMatching(what) as string,
    });
  });

  it('knows ext4 and a finished xfs', async () => {
    for (const fsType of ['ext4', 'xfs']) {
      const blkid = { exitCode: 0, stdout: `DEVNAME=/dev/x\nTYPE=${fsType}\n` };
      expect(await probe({ blkid })).toEqual({ kind: 'filesystem', fsType });
    }
  });
});

describe('the real programs on a file', () => {
  const sizeBytes = 300 * 1024 ** 2;
  let directory: string;
  let path: string;

  beforeEach(async () => {
    directory = await mkdtemp(join(tmpdir(), 'px-probe-'));
    path = join(directory, 'device');
    await (await open(path, 'w')).close();
    await truncate(path, sizeBytes);
  });
  afterEach(() => rm(directory, { recursive: true, force: true }));

  const run = (file: string, ...args: string[]) => runCommand(file, args, { timeoutMs: 30_000 });
  const content = () => probeContent(runCommand, { path, sizeBytes });

  async function write(offset: number, data: Buffer): Promise<void> {
    const file = await open(path, 'r+');
    await file.write(data, 0, data.length, offset);
    await file.close();
  }

  it('finds nothing on zeros, and refuses a size that is not there', async () => {
    expect(await content()).toEqual({ kind: 'empty' });
    const tooLarge = { path, sizeBytes: sizeBytes + 4096 };
    await expect(probeContent(runCommand, tooLarge)).rejects.toThrow('ends before its size');
  });

  it('tells file systems, and the tags of an xfs', async () => {
    await run('mkfs.ext4', '-q', path);
    expect(await content()).toEqual({ kind: 'filesystem', fsType: 'ext4' });
    const uuid = '6c9f3c62-6d68-4d16-b6c5-6f1f7a3fbb11';
    await run('mkfs.xfs', '-q', '-f', '-L', 'px-pool', '-m', `uuid=${uuid}`, path);
    expect(await content()).toEqual({ kind: 'filesystem', fsType: 'xfs' });
    const found = await readSignatures(runCommand, { path, sizeBytes });
    const tags = found.found === 'tags' ? Object.fromEntries(found.tags) : {};
    expect(tags).toMatchObject({ TYPE: 'xfs', UUID: uuid, LABEL: 'px-pool' });
  });

  it('calls an xfs unfinished, unless a partition table was written over it', async () => {
    await run('mkfs.xfs', '-q', path);
    await write(126, Buffer.from([1]));
    expect(await content()).toEqual({ kind: 'unfinished' });
    const table = Buffer.alloc(66);
    table.writeUInt8(0x83, 4);
    table.writeUInt32LE(8, 8);
    table.writeUInt32LE(1000, 12);
    table.writeUInt16LE(0xaa55, 64);
    await write(446, table);
    expect((await content()).kind).not.toBe('unfinished');
  });
});
