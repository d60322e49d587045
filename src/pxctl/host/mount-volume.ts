import { mkdir } from 'node:fs/promises';
import { PxError, toPxError } from '../../kernel/errors.js';
import type { Volume__Output } from '../../gen/px/v1/Volume.js';
import type { CommandContext } from '../context.js';
import {
  growMounted,
  growUnmountedExt4,
  makeFilesystem,
  probeContent,
  type FsType,
} from './filesystem.js';
import { kernelPath, readDevice, readMounts, volumeIdOfDevice } from './kernel.js';
import type { Device, Mount } from './kernel.js';

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
    const device = await ownDevice(volume, attached.device_path);
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

/**
 * px-node may be on another machine, whose device names mean something else
 * here: nothing is formatted before the kernel says that this is the volume.
 */
async function ownDevice(volume: Volume__Output, path: string): Promise<Device> {
  const device = await readDevice(path);
  if ((await volumeIdOfDevice(device.number)) === volume.id) return device;
  throw new PxError(
    'failed_precondition',
    `${path} is not the device of volume "${volume.name}" on this machine; ` +
      'run pxctl on the node that --endpoint names',
  );
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
  const { run } = context;
  const options = [
    volume.spec?.no_discard === true ? 'nodiscard' : 'discard',
    // A clone has the uuid of its source, which may be mounted here too.
    ...(fsType === 'xfs' ? ['nouuid'] : ['errors=remount-ro']),
    ...(readOnly ? ['ro'] : []),
    // A journal can't be replayed onto a device that takes no writes.
    ...(device.readOnly ? [fsType === 'xfs' ? 'norecovery' : 'noload'] : []),
  ];
  const mount = () =>
    run('mount', ['-t', fsType, '-o', options.join(','), device.path, path], {
      timeoutMs: mountTimeoutMs,
    });
  await mount();
  if (device.readOnly) {
    context.note(
      `"${volume.name}" takes no writes, so its journal was not replayed: ` +
        'the latest changes may be missing; a clone shows them',
    );
  }
  if (readOnly) return;
  // The volume may have grown while it was mounted nowhere. It is of use without that space.
  try {
    await growMounted(run, device.path, path, fsType);
  } catch (thrown) {
    if (fsType !== 'ext4') return context.note(notGrown(path, thrown));
    await run('umount', [path], { timeoutMs: mountTimeoutMs });
    await growUnmountedExt4(run, device.path).catch((again: unknown) =>
      context.note(notGrown(path, again)),
    );
    await mount();
  }
}

function notGrown(path: string, thrown: unknown): string {
  return `the file system on ${path} was not grown: ${toPxError(thrown).message}`;
}
