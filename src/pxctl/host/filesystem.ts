import { open } from 'node:fs/promises';
import { PxError } from '../../kernel/errors.js';
import type { RunCommand } from '../../platform/run-command.js';
import type { Device } from './kernel.js';

export type FsType = 'ext4' | 'xfs';

export type Content =
  | { readonly kind: 'empty' }
  | { readonly kind: 'filesystem'; readonly type: string }
  /** mkfs.xfs was cut off: it clears this mark of the superblock as its last step. */
  | { readonly kind: 'unfinished' }
  | { readonly kind: 'other'; readonly what: string };

const probeTimeoutMs = 30_000;
/** mkfs and a growth write tables all over the device. */
const formatTimeoutMs = 600_000;

/** Exit codes of blkid(8). */
const blkidFoundNothing = 2;
const blkidSeveral = 8;

/**
 * What blkid finds. It gives the same code for "nothing is there" and for
 * "could not read": only a device that was read is called empty.
 */
export async function probeContent(run: RunCommand, device: Device): Promise<Content> {
  const found = await run('blkid', ['-p', '-o', 'export', device.path], {
    timeoutMs: probeTimeoutMs,
    okExitCodes: [0, blkidFoundNothing, blkidSeveral],
  });
  if (found.exitCode === blkidSeveral) return { kind: 'other', what: 'several signatures' };
  if (found.exitCode === blkidFoundNothing) {
    // A child reads, so that a device that hangs ends within its time bound.
    const args = [`if=${device.path}`, 'of=/dev/null', 'bs=1M', 'count=1', 'iflag=direct'];
    await run('dd', [...args, 'status=none'], { timeoutMs: probeTimeoutMs });
    return { kind: 'empty' };
  }
  const type = /^TYPE=(.+)$/m.exec(found.stdout)?.[1];
  if (type === 'xfs' && (await isUnfinishedXfs(device.path))) return { kind: 'unfinished' };
  if (type !== undefined) return { kind: 'filesystem', type };
  const table = /^PTTYPE=(.+)$/m.exec(found.stdout)?.[1];
  return {
    kind: 'other',
    what: table === undefined ? 'an unknown signature' : `a ${table} partition table`,
  };
}

async function isUnfinishedXfs(path: string): Promise<boolean> {
  const file = await open(path, 'r');
  try {
    const superblock = Buffer.alloc(512);
    const { bytesRead } = await file.read(superblock, 0, superblock.length, 0);
    // sb_inprogress
    return bytesRead === superblock.length && superblock[126] === 1;
  } finally {
    await file.close();
  }
}

/**
 * Without -f (but for what mkfs.xfs itself left half-made), so that mkfs looks
 * once more. A new volume reads as zeros: nothing needs to be discarded first.
 */
export async function makeFilesystem(
  run: RunCommand,
  device: Device,
  fsType: FsType,
  again: boolean,
): Promise<void> {
  const args =
    fsType === 'ext4'
      ? ['-q', '-m', '0', '-E', 'nodiscard', device.path]
      : ['-q', '-K', ...(again ? ['-f'] : []), device.path];
  await run(`mkfs.${fsType}`, args, { timeoutMs: formatTimeoutMs });
}

/** Lets the mounted file system fill its device; nothing happens when it does already. */
export async function growMounted(
  run: RunCommand,
  devicePath: string,
  mountPath: string,
  fsType: string,
): Promise<void> {
  if (fsType === 'ext4') {
    await run('resize2fs', [devicePath], { timeoutMs: formatTimeoutMs }).catch(
      (thrown: unknown) => {
        if (!/Permission denied to resize/.test(String(thrown))) throw thrown;
        throw new PxError(
          'permission_denied',
          'the kernel lets only a process with CAP_SYS_RESOURCE grow a mounted ext4; ' +
            'it grows when it is unmounted and mounted again',
          {},
          thrown,
        );
      },
    );
  } else if (fsType === 'xfs') {
    await run('xfs_growfs', ['-d', mountPath], { timeoutMs: formatTimeoutMs });
  }
}

/** The same for ext4 while nobody has it mounted. resize2fs wants a full check before. */
export async function growUnmountedExt4(run: RunCommand, devicePath: string): Promise<void> {
  await run('e2fsck', ['-f', '-p', devicePath], {
    timeoutMs: formatTimeoutMs,
    // 1: errors were found and corrected.
    okExitCodes: [0, 1],
  });
  await run('resize2fs', [devicePath], { timeoutMs: formatTimeoutMs });
}
