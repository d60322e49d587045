import { mkdir } from 'node:fs/promises';
import { PxError, toPxError } from '../../kernel/errors.js';
import type { Volume__Output } from '../../gen/px/v1/Volume.js';
import type { CommandContext } from '../context.js';
import { growFilesystem, makeFilesystem, probeContent, type FsType } from './filesystem.js';
import {
  backingFile,
  kernelPath,
  readDevice,
  readMounts,
  type Device,
  type Mount,
} from './kernel.js';

/** A mount may replay the journal of a large file system, an unmount writes back what is dirty. */
const mountTimeoutMs = 120_000;

export interface MountWish {
  readonly volume: string;
  readonly path: string;
  readonly readOnly: boolean;
}

export interface Mounted {
  readonly volume: Volume__Output;
  readonly devicePath: string;
  readonly path: string;
  readonly formatted: boolean;
  readonly already: boolean;
}

/**
 * Attach, mkfs if the device is certainly empty, mount. Every step looks at the
 * kernel first, so that a call that was cut off is finished by the next one.
 */
export async function mountVolume(context: CommandContext, wish: MountWish): Promise<Mounted> {
  const { px } = context;
  const volume = await px.GetVolume({ id_or_name: wish.volume });
  const fsType = wantedFs(volume);
  const readOnly = wish.readOnly || volume.read_only;
  const path = await kernelPath(wish.path);
  const attachedBefore = volume.attached_on !== '';
  const occupied = (await readMounts(context.mountInfoPath)).findLast((at) => at.path === path);
  // Before the attach, as a refusal must leave nothing behind; after it again, with the device.
  if (occupied !== undefined && !attachedBefore) throw inUse(path, occupied);
  const attached = await px.AttachVolume({
    id_or_name: volume.id,
    read_only: readOnly,
    frontend: 'fuse',
  });
  try {
    const device = await readDevice(attached.device_path);
    const done = { volume, devicePath: device.path, path };
    if (occupied !== undefined) {
      if (occupied.device !== device.number) throw inUse(path, occupied);
      if (occupied.readOnly !== readOnly) throw otherMode(path, occupied);
      return { ...done, formatted: false, already: true };
    }
    const formatted = await prepareContent(context, volume, device, fsType);
    await mkdir(path, { recursive: true });
    await mountDevice(context, volume, device, { path, fsType, readOnly });
    return { ...done, formatted, already: false };
  } catch (thrown) {
    if (!attachedBefore) await px.DetachVolume({ id_or_name: volume.id }).catch(() => undefined);
    throw thrown;
  }
}

function wantedFs(volume: Volume__Output): FsType {
  const fs = volume.spec?.fs;
  if (fs === 'ext4' || fs === 'xfs') return fs;
  throw new PxError(
    'failed_precondition',
    `volume "${volume.name}" is raw block (fs none) and gets no file system; use "pxctl host attach"`,
  );
}

function inUse(path: string, by: Mount): PxError {
  return new PxError(
    'failed_precondition',
    `${path} is the mount point of ${by.source} (${by.fsType}); unmount that or choose another path`,
  );
}

function otherMode(path: string, mounted: Mount): PxError {
  const how = mounted.readOnly ? 'read-only' : 'for writing';
  return new PxError('failed_precondition', `${path} has it mounted ${how}; unmount it first`);
}

/** True when a file system was made. Whatever is there is never overwritten. */
async function prepareContent(
  context: CommandContext,
  volume: Volume__Output,
  device: Device,
  fsType: FsType,
): Promise<boolean> {
  const content = await probeContent(context.run, device);
  if (content.kind === 'filesystem' && content.type === fsType) return false;
  if (content.kind === 'empty' || content.kind === 'unfinished') {
    if (device.readOnly) {
      throw new PxError(
        'failed_precondition',
        `volume "${volume.name}" has no file system and is read-only here, so none is made`,
      );
    }
    await makeFilesystem(context.run, device, fsType, content.kind === 'unfinished');
    return true;
  }
  const what = content.kind === 'filesystem' ? content.type : content.what;
  throw new PxError(
    'device_in_use',
    `volume "${volume.name}" holds ${what} where ${fsType} was expected; it is left as it is`,
  );
}

async function mountDevice(
  context: CommandContext,
  volume: Volume__Output,
  device: Device,
  wish: { readonly path: string; readonly fsType: FsType; readonly readOnly: boolean },
): Promise<void> {
  const { path, fsType, readOnly } = wish;
  const options = [
    volume.spec?.no_discard === true ? 'nodiscard' : 'discard',
    // A clone has the uuid of its source, which may be mounted here too.
    ...(fsType === 'xfs' ? ['nouuid'] : ['errors=remount-ro']),
    ...(readOnly ? ['ro'] : []),
    // A journal can't be replayed onto a device that takes no writes.
    ...(device.readOnly ? [fsType === 'xfs' ? 'norecovery' : 'noload'] : []),
  ];
  await context.run('mount', ['-t', fsType, '-o', options.join(','), device.path, path], {
    timeoutMs: mountTimeoutMs,
  });
  if (!readOnly) await grow(context, device.path, path, fsType);
}

/** The volume is of use without it, so a growth that is refused is only told. */
async function grow(
  context: CommandContext,
  devicePath: string,
  path: string,
  fsType: string,
): Promise<void> {
  await growFilesystem(context.run, devicePath, path, fsType).catch((thrown: unknown) => {
    context.note(`the file system on ${path} was not grown: ${toPxError(thrown).message}`);
  });
}

/** After a volume grew: the file system too, where it is mounted on this machine. */
export async function growMountedFilesystem(
  context: CommandContext,
  volume: Volume__Output,
): Promise<void> {
  // Device paths of other nodes mean nothing here; the coordinator tells its own.
  const { attached_on, device_path } = await context.px.GetVolume({ id_or_name: volume.id });
  if (attached_on === '' || device_path === '') return;
  if (attached_on !== (await context.px.GetStatus({})).id) return;
  const device = await readDevice(device_path);
  const mount = (await readMounts(context.mountInfoPath)).find(
    (candidate) => candidate.device === device.number && !candidate.readOnly,
  );
  if (mount !== undefined) await grow(context, device.path, mount.path, mount.fsType);
}

/** Where the volume is mounted on this machine, also on a device that it no longer has. */
export async function mountsOfVolume(
  context: CommandContext,
  volume: Volume__Output,
): Promise<Mount[]> {
  const found: Mount[] = [];
  for (const mount of await readMounts(context.mountInfoPath)) {
    // Also devtmpfs and the like have a number, but only a loop device has a file below it.
    if ((await backingFile(mount.device)).includes(volume.id)) found.push(mount);
  }
  return found;
}
