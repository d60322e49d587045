import { open } from 'node:fs/promises';
import { PxError, toPxError } from '../../kernel/errors.js';
import type { RunCommand } from '../../platform/run-command.js';
import type { BlockDevice } from './block-device.js';

export type FsType = 'ext4' | 'xfs';

export type DeviceContent =
  | { readonly kind: 'empty' }
  | { readonly kind: 'filesystem'; readonly fsType: FsType }
  /** mkfs.xfs was cut off before its end, so nothing was ever stored. */
  | { readonly kind: 'unfinished' }
  | { readonly kind: 'foreign'; readonly what: string };

const probeTimeoutMs = 30_000;
/** Bounded by the size of the volume: inode tables and logs are written. */
const formatTimeoutMs = 600_000;
const checkTimeoutMs = 600_000;
const growTimeoutMs = 300_000;

/** blkid(8): 2 is "nothing found", and also "could not read". 8 is "several answers". */
const blkidNothing = 2;
const blkidAmbivalent = 8;
/** fsck(8): 0 no errors, 1 errors corrected. */
const fsckCorrected = 1;

export class FilesystemTool {
  constructor(private readonly run: RunCommand) {}

  /**
   * What is on the device. Empty only when the probe found nothing AND the
   * device can be read: blkid gives the same answer for both, and a device that
   * gives no answer must never be formatted.
   */
  async probe(device: BlockDevice): Promise<DeviceContent> {
    const probed = await this.run('blkid', ['-p', '-o', 'export', device.path], {
      timeoutMs: probeTimeoutMs,
      okExitCodes: [0, blkidNothing, blkidAmbivalent],
    });
    if (probed.exitCode === blkidAmbivalent) {
      return { kind: 'foreign', what: 'signatures of several formats' };
    }
    if (probed.exitCode === blkidNothing) {
      await this.readStart(device);
      return { kind: 'empty' };
    }
    const tags = parseExport(probed.stdout);
    const type = tags.get('TYPE');
    if (type === 'xfs' && (await isUnfinishedXfs(device.path))) return { kind: 'unfinished' };
    if (type === 'ext4' || type === 'xfs') return { kind: 'filesystem', fsType: type };
    const table = tags.get('PTTYPE');
    if (type === undefined && table !== undefined) {
      return { kind: 'foreign', what: `a ${table} partition table` };
    }
    return { kind: 'foreign', what: type ?? 'something that blkid cannot name' };
  }

  /**
   * A new volume reads as zeros everywhere, so nothing is discarded first; a
   * reserve for root would only take space from the one who asked for it.
   */
  async format(device: BlockDevice, fsType: FsType, options: readonly string[]): Promise<void> {
    const args =
      fsType === 'ext4'
        ? ['-q', '-F', '-m', '0', '-E', 'nodiscard', ...options, device.path]
        : ['-q', '-f', '-K', ...options, device.path];
    await this.run(`mkfs.${fsType}`, args, { timeoutMs: formatTimeoutMs });
  }

  /** Repairs what is safe to repair. XFS replays its log at mount and has no such step. */
  async check(device: BlockDevice, fsType: FsType): Promise<void> {
    if (fsType !== 'ext4') return;
    await this.run('fsck', ['-t', 'ext4', '-a', device.path], {
      timeoutMs: checkTimeoutMs,
      okExitCodes: [0, fsckCorrected],
    });
  }

  /** Fills the device; does nothing when it is full already. The file system is mounted at `path`. */
  async grow(devicePath: string, path: string, fsType: string): Promise<void> {
    if (fsType === 'ext4') {
      await this.run('resize2fs', [devicePath], { timeoutMs: growTimeoutMs }).catch(explainRefusal);
    } else if (fsType === 'xfs') {
      await this.run('xfs_growfs', ['-d', path], { timeoutMs: growTimeoutMs });
    } else {
      throw new PxError('failed_precondition', `a ${fsType} file system cannot grow here`);
    }
  }

  /** The same for a file system that is not mounted; XFS grows only while it is. */
  async growUnmounted(device: BlockDevice, fsType: FsType): Promise<void> {
    if (fsType !== 'ext4') return;
    // resize2fs wants a full check first, as it moves what is in the way.
    await this.run('e2fsck', ['-f', '-p', device.path], {
      timeoutMs: checkTimeoutMs,
      okExitCodes: [0, fsckCorrected],
    });
    await this.run('resize2fs', [device.path], { timeoutMs: growTimeoutMs });
  }

  /** A child reads, so that a device that blocks costs a bounded child and no thread of ours. */
  private async readStart(device: BlockDevice): Promise<void> {
    await this.run(
      'dd',
      [`if=${device.path}`, 'of=/dev/null', 'bs=1M', 'count=1', 'iflag=direct', 'status=none'],
      { timeoutMs: probeTimeoutMs },
    );
  }
}

/** The kernel asks for CAP_SYS_RESOURCE, which a container may have been denied. */
function explainRefusal(thrown: unknown): never {
  if (!/Permission denied to resize/.test(toPxError(thrown).message)) throw thrown;
  throw new PxError(
    'failed_precondition',
    'the kernel lets only a process with CAP_SYS_RESOURCE grow a mounted ext4; ' +
      'the file system grows when the volume is staged next',
    {},
    thrown,
  );
}

function parseExport(text: string): Map<string, string> {
  const tags = new Map<string, string>();
  for (const line of text.split('\n')) {
    const at = line.indexOf('=');
    if (at > 0) tags.set(line.slice(0, at), line.slice(at + 1));
  }
  return tags;
}

/** sb_inprogress of the XFS superblock: mkfs.xfs clears it as its last step. */
const inProgressOffset = 126;

async function isUnfinishedXfs(path: string): Promise<boolean> {
  const file = await open(path, 'r');
  try {
    const { buffer, bytesRead } = await file.read(Buffer.alloc(512), 0, 512, 0);
    return bytesRead === 512 && buffer[inProgressOffset] === 1;
  } finally {
    await file.close();
  }
}
