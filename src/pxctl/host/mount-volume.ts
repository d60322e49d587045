import { mkdir } from 'node:fs/promises';
import { PxError } from '../../kernel/errors.js';
import type { Volume__Output } from '../../gen/px/v1/Volume.js';
import { readBlockDevice, type BlockDevice } from '../../platform/block/block-device.js';
import { readOnlyMountOptions, usualMountOptions } from '../../platform/block/filesystem.js';
import { mountFilled } from '../../platform/block/mount-filled.js';
import { isReadOnly, kernelPath, type MountEntry } from '../../platform/block/mountinfo.js';
import type { FsType } from '../../platform/block/probe.js';
import type { CommandContext } from '../context.js';
import { notGrown, volumeIdOfDevice } from './volume-mounts.js';

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
  const occupied = await context.mounter.at(path);
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
      if (isReadOnly(occupied) !== readOnly) throw otherMode(path, occupied);
      return { ...done, formatted: false, already: true };
    }
    const formatted = await prepareContent(context, volume, device, { fsType, readOnly });
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
async function ownDevice(volume: Volume__Output, path: string): Promise<BlockDevice> {
  const device = await readBlockDevice(path).catch(() => undefined);
  if (device !== undefined && (await volumeIdOfDevice(device.number)) === volume.id) return device;
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

function inUse(path: string, by: MountEntry): PxError {
  return new PxError(
    'failed_precondition',
    `${path} is the mount point of ${by.source} (${by.fsType}); unmount that or choose another path`,
  );
}

function otherMode(path: string, mounted: MountEntry): PxError {
  const how = isReadOnly(mounted) ? 'read-only' : 'for writing';
  return new PxError('failed_precondition', `${path} has it mounted ${how}; unmount it first`);
}

/** True when a file system was made. Whatever is there is never overwritten. */
async function prepareContent(
  context: CommandContext,
  volume: Volume__Output,
  device: BlockDevice,
  wish: { readonly fsType: FsType; readonly readOnly: boolean },
): Promise<boolean> {
  const { fsType } = wish;
  const content = await context.filesystems.probe(device);
  if (content.kind === 'filesystem' && content.fsType === fsType) return false;
  if (content.kind === 'empty' || content.kind === 'unfinished') {
    if (wish.readOnly || device.readOnly) {
      throw new PxError(
        'failed_precondition',
        `volume "${volume.name}" has no file system and is read-only here, so none is made`,
      );
    }
    await context.filesystems.format(device, content, fsType);
    return true;
  }
  const what = content.kind === 'filesystem' ? content.fsType : content.what;
  throw new PxError(
    'device_in_use',
    `volume "${volume.name}" holds ${what} where ${fsType} was expected; it is left as it is`,
  );
}

async function mountDevice(
  context: CommandContext,
  volume: Volume__Output,
  device: BlockDevice,
  wish: { readonly path: string; readonly fsType: FsType; readonly readOnly: boolean },
): Promise<void> {
  const { path, fsType, readOnly } = wish;
  const options = [
    ...usualMountOptions(fsType, volume.spec?.no_discard === true),
    ...readOnlyMountOptions(fsType, { readOnly, deviceReadOnly: device.readOnly }),
  ];
  if (readOnly) {
    await context.mounter.mount(device.path, path, fsType, options);
  } else {
    // It is of use without the space that it does not fill.
    await mountFilled(context, { device, path, fsType, options }, (thrown) =>
      context.note(notGrown(path, thrown)),
    );
  }
  if (!device.readOnly) return;
  context.note(
    `"${volume.name}" takes no writes, so its journal was not replayed: ` +
      'the latest changes may be missing; a clone shows them',
  );
}
