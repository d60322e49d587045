import type { NodeExpandVolumeRequest__Output } from '../../gen/csi/v1/NodeExpandVolumeRequest.js';
import type { NodeExpandVolumeResponse } from '../../gen/csi/v1/NodeExpandVolumeResponse.js';
import { PxError } from '../../kernel/errors.js';
import { required, requireVolume, sizeOf } from '../px-volumes.js';
import { readSizeRange } from '../sizes.js';
import { requireAttachedDevice } from './attached-device.js';
import { absolutePath, type NodeContext } from './context.js';

export function expandHandlers(context: NodeContext) {
  return {
    NodeExpandVolume: (request: NodeExpandVolumeRequest__Output) => expandVolume(context, request),
  };
}

/** The device has grown already, wherever it is attached; the file system follows here. */
async function expandVolume(
  context: NodeContext,
  request: NodeExpandVolumeRequest__Output,
): Promise<NodeExpandVolumeResponse> {
  const id = required(request.volume_id, 'volume_id');
  const givenPath = required(request.volume_path, 'volume_path');
  const { requiredBytes } = readSizeRange(request.capacity_range);
  return context.locks.run(id, 'NodeExpandVolume', async () => {
    const volume = await requireVolume(context.px, id);
    const path = absolutePath(givenPath, 'volume_path');
    const state = await context.mounter.inspect(path);
    if (state.kind === 'missing') {
      throw new PxError('not_found', `there is no volume at ${path}`, { id });
    }
    const device = await requireAttachedDevice(context, volume);
    if (device.sizeBytes < Math.max(requiredBytes, sizeOf(volume))) {
      throw new PxError(
        device.sizeBytes < sizeOf(volume) ? 'unavailable' : 'out_of_range',
        `the device of volume "${id}" has ${device.sizeBytes} bytes; ` +
          `the volume has ${sizeOf(volume)} and ${requiredBytes} are asked for`,
      );
    }
    const isRaw = state.kind === 'present' && state.stats.isBlockDevice();
    if (!isRaw) {
      const entry = await context.mounter.at(path);
      if (entry?.device !== device.number) {
        throw new PxError('not_found', `volume "${id}" is not mounted at ${path}`, { id });
      }
      await context.filesystems.grow(device.path, path, entry.fsType);
    }
    return { capacity_bytes: device.sizeBytes };
  });
}
