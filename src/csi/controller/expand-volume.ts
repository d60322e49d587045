import type { ControllerExpandVolumeRequest__Output } from '../../gen/csi/v1/ControllerExpandVolumeRequest.js';
import type { ControllerExpandVolumeResponse } from '../../gen/csi/v1/ControllerExpandVolumeResponse.js';
import { PxError } from '../../kernel/errors.js';
import { pxTimeouts, required, requireVolume, sizeOf } from '../px-volumes.js';
import { chooseSizeBytes, readSizeRange, sizeWithin } from '../sizes.js';
import type { ControllerContext } from './context.js';

export async function expandVolume(
  context: ControllerContext,
  request: ControllerExpandVolumeRequest__Output,
): Promise<ControllerExpandVolumeResponse> {
  const id = required(request.volume_id, 'volume_id');
  if (request.capacity_range === null) {
    throw new PxError('invalid_argument', 'capacity_range is missing', { id });
  }
  const range = readSizeRange(request.capacity_range);
  return context.locks.run(id, 'ControllerExpandVolume', async () => {
    const volume = await requireVolume(context.px, id);
    if (volume.read_only) {
      throw new PxError('failed_precondition', `"${id}" is a snapshot and cannot grow`);
    }
    const isRaw = (request.volume_capability?.block ?? null) !== null || volume.spec?.fs === 'none';
    const currentBytes = sizeOf(volume);
    // A repeated call finds the work done; the file system may still have to follow.
    if (sizeWithin(currentBytes, range)) {
      return { capacity_bytes: currentBytes, node_expansion_required: !isRaw };
    }
    if (currentBytes > range.limitBytes) {
      throw new PxError(
        'out_of_range',
        `volume "${id}" has ${currentBytes} bytes and cannot shrink to ${range.limitBytes}`,
      );
    }
    const grown = await context.px.ResizeVolume(
      { id_or_name: id, size_bytes: chooseSizeBytes(range) },
      { timeoutMs: pxTimeouts.changeMs },
    );
    return { capacity_bytes: sizeOf(grown), node_expansion_required: !isRaw };
  });
}
