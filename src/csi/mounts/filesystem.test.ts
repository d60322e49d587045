import { PxError } from '../../kernel/errors.js';
import type { RunCommand } from '../../platform/run-command.js';
import type { BlockDevice } from './block-device.js';
import { FilesystemTool } from './filesystem.js';

const device: BlockDevice = {
  path: '/dev/null',
  number: '7:0',
  sizeBytes: 1024 ** 3,
  readOnly: false,
};

/** Answers of blkid and of the read that follows; a missing answer is a failure. */
function scripted(answers: Record<string, { exitCode: number; stdout?: string }>): {
  run: RunCommand;
  ran: string[];
} {
  const ran: string[] = [];
  const run: RunCommand = (file, _args, options) => {
    ran.push(file);
    const answer = answers[file];
    if (answer === undefined || !(options.okExitCodes ?? [0]).includes(answer.exitCode)) {
      return Promise.reject(new PxError('internal', `${file} failed`));
    }
    return Promise.resolve({ stdout: '', stderr: '', ...answer });
  };
  return { run, ran };
}

const probe = (answers: Record<string, { exitCode: number; stdout?: string }>) =>
  new FilesystemTool(scripted(answers).run).probe(device);

describe('FilesystemTool.probe', () => {
  it('calls a device empty only when blkid finds nothing and the device can be read', async () => {
    expect(await probe({ blkid: { exitCode: 2 }, dd: { exitCode: 0 } })).toEqual({ kind: 'empty' });
  });

  it('never calls a device empty that cannot be read', async () => {
    await expect(probe({ blkid: { exitCode: 2 }, dd: { exitCode: 1 } })).rejects.toThrow('dd');
    await expect(probe({ blkid: { exitCode: 4 }, dd: { exitCode: 0 } })).rejects.toThrow('blkid');
    await expect(probe({ dd: { exitCode: 0 } })).rejects.toThrow('blkid');
  });

  test.each([
    [{ exitCode: 8 }, /several/],
    [{ exitCode: 0, stdout: 'TYPE=LVM2_member\n' }, /LVM2_member/],
    [{ exitCode: 0, stdout: 'PTTYPE=gpt\n' }, /gpt partition table/],
    [{ exitCode: 0, stdout: '' }, /cannot name/],
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

describe('FilesystemTool.check', () => {
  it('accepts a repaired file system and refuses one that it could not repair', async () => {
    const repaired = scripted({ fsck: { exitCode: 1 } });
    await new FilesystemTool(repaired.run).check(device, 'ext4');
    expect(repaired.ran).toEqual(['fsck']);
    const broken = new FilesystemTool(scripted({ fsck: { exitCode: 4 } }).run);
    await expect(broken.check(device, 'ext4')).rejects.toThrow('fsck');
    const xfs = scripted({});
    await new FilesystemTool(xfs.run).check(device, 'xfs');
    expect(xfs.ran).toEqual([]);
  });
});
