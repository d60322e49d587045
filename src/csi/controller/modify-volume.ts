import type { ControllerModifyVolumeRequest__Output } from '../../gen/csi/v1/ControllerModifyVolumeRequest.js';
import type { ControllerModifyVolumeResponse } from '../../gen/csi/v1/ControllerModifyVolumeResponse.js';
import type { UpdateVolumeRequest } from '../../gen/px/v1/UpdateVolumeRequest.js';
import { PxError } from '../../kernel/errors.js';
import { parseMutable, type ClassParameters } from '../parameters/storage-class.js';
import { replacingLimits } from '../parameters/throttle.js';
import { policyIsArgument, pxTimeouts, required, requireVolume } from '../px-volumes.js';
import type { ControllerContext } from './context.js';

/**
 * A VolumeAttributesClass for a volume that lives. It is done when px-node has
 * the wish: replicas are filled afterwards, which may take hours, and the
 * volume says how far they are.
 */
export async function modifyVolume(
  context: ControllerContext,
  request: ControllerModifyVolumeRequest__Output,
): Promise<ControllerModifyVolumeResponse> {
  const id = required(request.volume_id, 'volume_id');
  const parameters = parseMutable(request.mutable_parameters);
  return context.locks.run(id, 'ControllerModifyVolume', async () => {
    const volume = await requireVolume(context.px, id);
    if (volume.read_only) {
      throw new PxError('failed_precondition', `"${id}" is a snapshot and can't be modified`);
    }
    const changes = recordChanges(parameters);
    const timeout = { timeoutMs: pxTimeouts.changeMs };
    if (Object.keys(changes).length > 0) {
      await policyIsArgument(context.px.UpdateVolume({ id_or_name: id, ...changes }, timeout));
    }
    const { replicas } = parameters;
    const target = volume.replica_change?.target_count ?? volume.spec?.replicas;
    if (replicas !== undefined && replicas !== target) {
      await context.px.UpdateReplicas({ id_or_name: id, count: replicas }, timeout);
    }
    return {};
  });
}

function recordChanges(parameters: ClassParameters): Omit<UpdateVolumeRequest, 'id_or_name'> {
  const { ioPriority, storagePolicy, snapshotSchedule, limits } = parameters;
  return {
    ...(ioPriority === undefined ? {} : { io_priority: ioPriority }),
    ...(storagePolicy === undefined ? {} : { storage_policy: storagePolicy }),
    ...(snapshotSchedule === undefined ? {} : { snapshot_schedule: snapshotSchedule }),
    ...(limits === undefined ? {} : replacingLimits(limits)),
  };
}
