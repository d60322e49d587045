import { toPxError } from '../../kernel/errors.js';
import type { Volume__Output } from '../../gen/px/v1/Volume.js';
import type { CommandContext } from '../context.js';
import { growMounted } from './filesystem.js';
import { readMounts, volumeIdOfDevice, type Mount } from './kernel.js';

/** Writes back what is dirty; a full page cache takes its time. */
const syncTimeoutMs = 120_000;

/** Where the volume is mounted on this machine, also on a device that it no longer has. */
export async function mountsOfVolume(
  context: CommandContext,
  volume: Volume__Output,
): Promise<Mount[]> {
  const found: Mount[] = [];
  for (const mount of await readMounts(context.mountInfoPath)) {
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
  const mount = mounts.find((candidate) => !candidate.readOnly);
  if (mount === undefined) return;
  await growMounted(context.run, mount.source, mount.path, mount.fsType).catch((thrown: unknown) =>
    context.note(`the file system on ${mount.path} was not grown: ${toPxError(thrown).message}`),
  );
}

/**
 * A copy holds what the volume was given. What programs wrote into files
 * mounted here may still be in the page cache, and they expect it in the copy.
 */
export async function writeBack(context: CommandContext, volume: Volume__Output): Promise<void> {
  const [mount] = await mountsOfVolume(context, volume);
  if (mount === undefined) return;
  await context.run('sync', ['-f', mount.path], { timeoutMs: syncTimeoutMs });
}
