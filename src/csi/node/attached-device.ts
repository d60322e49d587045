import type { Volume__Output } from '../../gen/px/v1/Volume.js';
import { PxError } from '../../kernel/errors.js';
import { readBlockDevice, type BlockDevice } from '../../platform/block/block-device.js';
import { pxTimeouts } from '../px-volumes.js';
import { ownNodeId, type NodeContext } from './context.js';

/** Attaches the volume on this node, or finds it attached, and looks at the device. */
export async function attachDevice(
  context: NodeContext,
  volumeId: string,
  readOnly: boolean,
): Promise<BlockDevice> {
  const attached = await context.px.AttachVolume(
    { id_or_name: volumeId, read_only: readOnly, frontend: context.frontend, force: false },
    { timeoutMs: pxTimeouts.attachMs },
  );
  if (attached.device_path === '') {
    throw new PxError(
      'failed_precondition',
      `volume "${volumeId}" has no block device here: the ${context.frontend} frontend gives only ` +
        (attached.nbd_uri === '' ? 'nothing' : attached.nbd_uri),
    );
  }
  return readBlockDevice(attached.device_path);
}

/** The device of a volume that is attached on this node already; undefined when it is not. */
export async function findAttachedDevice(
  context: NodeContext,
  volume: Volume__Output,
): Promise<BlockDevice | undefined> {
  if (volume.attached_on === '' || volume.device_path === '') return undefined;
  if (volume.attached_on !== (await ownNodeId(context))) return undefined;
  return readBlockDevice(volume.device_path);
}

export async function requireAttachedDevice(
  context: NodeContext,
  volume: Volume__Output,
): Promise<BlockDevice> {
  const device = await findAttachedDevice(context, volume);
  if (device === undefined) {
    throw new PxError(
      'failed_precondition',
      `volume "${volume.id}" is not attached on this node; stage it first`,
    );
  }
  return device;
}
