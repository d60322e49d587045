import { PxError, toPxError } from '../../kernel/errors.js';
import type { RunCommand } from '../run-command.js';
import { probeContent, type DeviceContent, type FsType, type ProbedDevice } from './probe.js';

/** Bounded by the size of the volume: inode tables and logs are written. */
const formatTimeoutMs = 600_000;
const checkTimeoutMs = 600_000;
const growTimeoutMs = 600_000;

/** fsck(8): 0 no errors, 1 errors corrected. */
const fsckCorrected = 1;

/** What may become a file system: the type keeps anything else from being formatted. */
export type FormattableContent = Extract<DeviceContent, { kind: 'empty' | 'unfinished' }>;

export class FilesystemTool {
  constructor(private readonly run: RunCommand) {}

  probe(device: ProbedDevice): Promise<DeviceContent> {
    return probeContent(this.run, device);
  }

  /**
   * Without force, so that mkfs looks once more; only what mkfs.xfs itself left
   * half-made needs it. A new volume reads as zeros everywhere, so nothing is
   * discarded first; a reserve for root would only take space from the one who
   * asked for it.
   */
  async format(
    device: ProbedDevice,
    content: FormattableContent,
    fsType: FsType,
    options: readonly string[] = [],
  ): Promise<void> {
    const flags =
      fsType === 'ext4'
        ? ['-q', '-m', '0', '-E', 'nodiscard']
        : ['-q', '-K', ...(content.kind === 'unfinished' ? ['-f'] : [])];
    await this.run(`mkfs.${fsType}`, [...flags, ...options, device.path], {
      timeoutMs: formatTimeoutMs,
    });
  }

  /** Repairs what is safe to repair. XFS replays its log at mount and has no such step. */
  async check(device: ProbedDevice, fsType: FsType): Promise<void> {
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

  /** The same for an ext4 that is not mounted. */
  async growUnmounted(device: ProbedDevice): Promise<void> {
    // resize2fs wants a full check first, as it moves what is in the way.
    await this.run('e2fsck', ['-f', '-p', device.path], {
      timeoutMs: checkTimeoutMs,
      okExitCodes: [0, fsckCorrected],
    });
    await this.run('resize2fs', [device.path], { timeoutMs: growTimeoutMs });
  }
}

/** The kernel asks for CAP_SYS_RESOURCE, which a container may have been denied. */
function explainRefusal(thrown: unknown): never {
  if (!/Permission denied to resize/.test(toPxError(thrown).message)) throw thrown;
  throw new PxError(
    'failed_precondition',
    'the kernel lets only a process with CAP_SYS_RESOURCE grow a mounted ext4; ' +
      'it grows when it is unmounted and mounted again',
    {},
    thrown,
  );
}

/** How px mounts a volume's file system; what a user asks for comes after it. */
export function usualMountOptions(fsType: FsType, noDiscard: boolean): string[] {
  return [
    // Space that is deleted goes back to the pool, unless the volume says no.
    noDiscard ? 'nodiscard' : 'discard',
    // A clone or a snapshot has the uuid of its source, which may be mounted here too.
    ...(fsType === 'xfs' ? ['nouuid'] : ['errors=remount-ro']),
  ];
}

/** What comes last, as nothing may overrule it. */
export function readOnlyMountOptions(
  fsType: FsType,
  wish: { readonly readOnly: boolean; readonly deviceReadOnly: boolean },
): string[] {
  return [
    ...(wish.readOnly ? ['ro'] : []),
    // A journal cannot be replayed on a device that refuses writes.
    ...(wish.deviceReadOnly ? [fsType === 'xfs' ? 'norecovery' : 'noload'] : []),
  ];
}
