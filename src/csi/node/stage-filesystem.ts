import type { Volume__Output } from '../../gen/px/v1/Volume.js';
import { PxError, toPxError } from '../../kernel/errors.js';
import type { BlockDevice } from '../../platform/block/block-device.js';
import { readOnlyMountOptions, usualMountOptions } from '../../platform/block/filesystem.js';
import { mountFilled } from '../../platform/block/mount-filled.js';
import { hasStopped, isReadOnly, type MountEntry } from '../../platform/block/mountinfo.js';
import type { FsType } from '../../platform/block/probe.js';
import type { Access } from '../capability.js';
import { mergeMountOptions } from '../parameters/mount-options.js';
import type { NodeContext } from './context.js';
import { mountsOf, removeMount } from './published-mounts.js';

export interface StageWish {
  readonly volume: Volume__Output;
  readonly device: BlockDevice;
  readonly path: string;
  readonly access: Access;
  readonly readOnly: boolean;
  readonly classMountOptions: readonly string[];
  readonly formatOptions: readonly string[];
}

export async function stageFilesystem(context: NodeContext, wish: StageWish): Promise<void> {
  const { mounter, filesystems, logger } = context;
  const { device, path } = wish;
  const fsType = wantedFs(wish);
  if (await isStaged(context, wish, fsType)) {
    // The call before may have been cut off between the mount and the growth. Pods
    // may use the mount already, so a growth that is refused must not fail it.
    if (!wish.readOnly) {
      await filesystems.grow(device.path, path, fsType).catch((thrown: unknown) => {
        logger.warn(`not grown: ${toPxError(thrown).message}`, { path });
      });
    }
    return;
  }
  await prepareContent(context, wish, fsType);
  await mounter.makeDirectory(path);
  const options = mountOptions(wish, fsType);
  if (wish.readOnly) return mounter.mount(device.path, path, fsType, options);
  await mountFilled(context, { device, path, fsType, options }, (thrown) => {
    // A pod must not get an ext4 that its check called damaged.
    if (fsType === 'ext4') throw thrown;
    logger.warn(`not grown: ${toPxError(thrown).message}`, { path });
  });
}

/** The class's `fs`, which the volume keeps, overrides what the claim says. */
function wantedFs(wish: StageWish): FsType {
  const { volume, access } = wish;
  const kept = volume.spec?.fs;
  if (kept === 'ext4' || kept === 'xfs') return kept;
  return access.fsType === '' ? 'ext4' : access.fsType;
}

/**
 * Whether exactly this is mounted already. What is left of another device (the
 * node died, the volume came back under another number) or of a file system
 * that has shut down is taken away, so that the mount is made anew.
 */
async function isStaged(context: NodeContext, wish: StageWish, fsType: FsType): Promise<boolean> {
  const { mounter, logger } = context;
  const entry = await mounter.at(wish.path);
  if (entry === undefined) return false;
  const state = await mounter.inspect(wish.path);
  const sameDevice = entry.device === wish.device.number;
  const working = state.kind === 'present' && !hasStopped(entry);
  if (!sameDevice || !working) {
    if (sameDevice) await refuseWhileUsed(context, wish, entry);
    logger.warn('a stale mount is replaced', { path: wish.path, was: entry.device });
    await removeMount(context, wish.path);
    return false;
  }
  if (entry.fsType !== fsType) {
    throw new PxError(
      'already_exists',
      `volume "${wish.volume.id}" is staged with ${entry.fsType}, not ${fsType}`,
    );
  }
  if (isReadOnly(entry) === wish.readOnly) return true;
  throw new PxError(
    'already_exists',
    `volume "${wish.volume.id}" is staged ${isReadOnly(entry) ? 'read-only' : 'for writing'}`,
  );
}

/**
 * The kernel mounts a device's one file system again, failed as it is, while
 * anybody has it mounted: it recovers only after the last mount is gone.
 */
async function refuseWhileUsed(
  context: NodeContext,
  wish: StageWish,
  staged: MountEntry,
): Promise<void> {
  const others = (await mountsOf(context, wish.device)).filter(
    (entry) => entry.mountPoint !== staged.mountPoint,
  );
  if (others.length === 0) return;
  throw new PxError(
    'failed_precondition',
    `the file system of volume "${wish.volume.id}" has failed and is in use at ` +
      `${others.map((entry) => entry.mountPoint).join(', ')}; it recovers once that has ended`,
  );
}

async function prepareContent(
  context: NodeContext,
  wish: StageWish,
  fsType: FsType,
): Promise<void> {
  const { filesystems, logger } = context;
  const { volume, device } = wish;
  const content = await filesystems.probe(device);
  switch (content.kind) {
    case 'filesystem':
      if (content.fsType !== fsType) {
        throw new PxError(
          'device_in_use',
          `volume "${volume.id}" holds ${content.fsType} and is asked for as ${fsType}; ` +
            'it is left as it is',
        );
      }
      if (!device.readOnly) await filesystems.check(device, fsType);
      return;
    case 'foreign':
      throw new PxError(
        'device_in_use',
        `volume "${volume.id}" holds ${content.what}; it is left as it is`,
      );
    case 'empty':
    case 'unfinished':
      refuseFormat(wish);
      logger.info('formatting', { volume: volume.id, device: device.path, fsType });
      await filesystems.format(device, content, fsType, wish.formatOptions);
  }
}

/** Data without a signature is data: a raw volume is never formatted, however empty it looks. */
function refuseFormat(wish: StageWish): void {
  const { volume } = wish;
  const why =
    volume.spec?.fs === 'none'
      ? 'it was made as raw block'
      : wish.readOnly
        ? 'it is asked for read-only'
        : undefined;
  if (why === undefined) return;
  throw new PxError(
    'failed_precondition',
    `volume "${volume.id}" has no file system and gets none: ${why}`,
  );
}

function mountOptions(wish: StageWish, fsType: FsType): string[] {
  const { volume, device } = wish;
  return mergeMountOptions(
    usualMountOptions(fsType, volume.spec?.no_discard === true),
    wish.classMountOptions,
    wish.access.mountFlags,
    readOnlyMountOptions(fsType, { readOnly: wish.readOnly, deviceReadOnly: device.readOnly }),
  );
}
