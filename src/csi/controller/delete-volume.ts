import type { DeleteVolumeRequest__Output } from '../../gen/csi/v1/DeleteVolumeRequest.js';
import { PxError } from '../../kernel/errors.js';
import { findVolume, isSnapshot, pxTimeouts, required } from '../px-volumes.js';
import type { ControllerContext } from './context.js';

export async function deleteVolume(
  context: ControllerContext,
  request: DeleteVolumeRequest__Output,
): Promise<Record<string, never>> {
  const id = required(request.volume_id, 'volume_id');
  return context.locks.run(id, 'DeleteVolume', async () => {
    const volume = await findVolume(context.px, id);
    if (volume === undefined) return {};
    if (isSnapshot(volume)) {
      throw new PxError('invalid_argument', `"${id}" is a snapshot; DeleteSnapshot deletes it`);
    }
    // An administrator's own read-only reservation does not stop a deletion;
    // a node that still has it does.
    if (volume.published_on !== '') {
      throw new PxError(
        'failed_precondition',
        `volume "${id}" is published to node "${volume.published_on}"; unpublish it first`,
      );
    }
    await context.px.DeleteVolume({ id_or_name: id }, { timeoutMs: pxTimeouts.changeMs });
    return {};
  });
}
