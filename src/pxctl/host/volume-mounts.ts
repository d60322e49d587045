import { readFile } from 'node:fs/promises';
import { basename } from 'node:path';
import { toPxError } from '../../kernel/errors.js';
import type { Volume__Output } from '../../gen/px/v1/Volume.js';
import { isReadOnly, type MountEntry } from '../../platform/block/mountinfo.js';
import type { CommandContext } from '../context.js';

/** Where the volume is mounted on this machine, also on a device that it no longer has. */
export async function mountsOfVolume(
  context: CommandContext,
  volume: Volume__Output,
): Promise<MountEntry[]> {
  const found: MountEntry[] = [];
  for (const mount of await context.mounter.list()) {
    if ((await volumeIdOfDevice(mount.device)) === volume.id) found.push(mount);
  }
  return found;
}

/** After a volume grew: the file system too, where it is mounted on this machine. */
export async function growMountedFilesystem(
  context: CommandContext,
  volume: Volume__Output,
): Promise<void> {
  const mounts = await mountsOfVolume(context, volume);
  const mount = mounts.find((candidate) => !isReadOnly(candidate));
  if (mount === undefined) return;
  const { source, mountPoint, fsType } = mount;
  await context.filesystems
    .grow(source, mountPoint, fsType)
    .catch((thrown: unknown) => context.note(notGrown(mountPoint, thrown)));
}

export function notGrown(path: string, thrown: unknown): string {
  return `the file system on ${path} was not grown: ${toPxError(thrown).message}`;
}

/**
 * A copy holds what the volume was given. What programs wrote into files
 * mounted here may still be in the page cache, and they expect it in the copy.
 */
export async function writeBack(context: CommandContext, volume: Volume__Output): Promise<void> {
  const [mount] = await mountsOfVolume(context, volume);
  if (mount === undefined) return;
  await context.mounter.writeBack(mount.mountPoint);
}

/**
 * The volume whose device this is, '' for any other device: px backs its loop
 * devices with a file named by the volume's id. The kernel says so even after
 * the volume was taken over or came back as another device.
 */
export async function volumeIdOfDevice(number: string): Promise<string> {
  try {
    const file = await readFile(`/sys/dev/block/${number}/loop/backing_file`, 'utf8');
    return basename(file.trim().replace(/ \(deleted\)$/, ''));
  } catch {
    return '';
  }
}
