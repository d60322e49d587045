import { PxError } from '../../kernel/errors.js';
import type { Volume__Output } from '../../gen/px/v1/Volume.js';
import { isBusy } from '../../platform/block/mounter.js';
import { kernelPath, type MountEntry } from '../../platform/block/mountinfo.js';
import type { CommandContext } from '../context.js';
import { mountsOfVolume } from './volume-mounts.js';

export interface Unmounted {
  readonly volume: Volume__Output;
  readonly paths: readonly string[];
  /** Where it is still mounted, and so stays attached. */
  readonly remaining: readonly string[];
}

/** Unmounts a path, or the only one that the volume has; detaches when that was the last. */
export async function unmountVolume(
  context: CommandContext,
  idOrName: string,
  asked: string | undefined,
): Promise<Unmounted> {
  const volume = await context.px.GetVolume({ id_or_name: idOrName });
  const path = asked === undefined ? undefined : await kernelPath(asked);
  const mounts = await mountsOfVolume(context, volume);
  const chosen = path === undefined ? mounts : mounts.filter((mount) => mount.mountPoint === path);
  if (path !== undefined && chosen.length === 0) await refuseForeign(context, volume, path);
  if (path === undefined) refuseSeveral(volume, mounts);
  // The last mount on a path lies on top of the others.
  for (const mount of [...chosen].reverse()) await unmount(context, volume, mount);
  const remaining = (await mountsOfVolume(context, volume)).map((mount) => mount.mountPoint);
  if (remaining.length === 0 && (await isAttachedHere(context, volume))) {
    await context.px.DetachVolume({ id_or_name: volume.id });
  }
  return { volume, paths: chosen.map((mount) => mount.mountPoint), remaining };
}

/** Some of them may be Kubernetes', and pods live on them. */
function refuseSeveral(volume: Volume__Output, mounts: readonly MountEntry[]): void {
  const paths = new Set(mounts.map((mount) => mount.mountPoint));
  if (paths.size < 2) return;
  throw new PxError(
    'failed_precondition',
    `volume "${volume.name}" is mounted on ${[...paths].join(', ')}; say which with --path`,
  );
}

/** Nothing mounted there is what was asked for; something else there is a mistake. */
async function refuseForeign(
  context: CommandContext,
  volume: Volume__Output,
  path: string,
): Promise<void> {
  const there = await context.mounter.at(path);
  if (there !== undefined) throw ofAnother(there, volume);
}

function ofAnother(mount: MountEntry, volume: Volume__Output): PxError {
  return new PxError(
    'failed_precondition',
    `${mount.mountPoint} is the mount point of ${mount.source}, ` +
      `not of volume "${volume.name}"; it is left alone`,
  );
}

async function unmount(
  context: CommandContext,
  volume: Volume__Output,
  mount: MountEntry,
): Promise<void> {
  // Something else may lie on top by now, or may have done so from the start.
  const top = await context.mounter.at(mount.mountPoint);
  if (top === undefined) return;
  if (top.device !== mount.device) throw ofAnother(top, volume);
  try {
    await context.mounter.unmountLayer(mount.mountPoint);
  } catch (thrown) {
    if (!isBusy(thrown)) throw thrown;
    throw new PxError(
      'failed_precondition',
      `${mount.mountPoint} is in use; "fuser -vm ${mount.mountPoint}" shows by whom`,
      {},
      thrown,
    );
  }
}

/** A volume that another node has in the meantime is not this one's to detach. */
async function isAttachedHere(context: CommandContext, volume: Volume__Output): Promise<boolean> {
  if (volume.attached_on === '') return false;
  return volume.attached_on === (await context.px.GetStatus({})).id;
}
