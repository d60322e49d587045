import type { ValidateVolumeCapabilitiesRequest__Output } from '../../gen/csi/v1/ValidateVolumeCapabilitiesRequest.js';
import type { ValidateVolumeCapabilitiesResponse } from '../../gen/csi/v1/ValidateVolumeCapabilitiesResponse.js';
import type { Volume__Output } from '../../gen/px/v1/Volume.js';
import { PxError, toPxError } from '../../kernel/errors.js';
import { readAccesses } from '../capability.js';
import { parseMutable, parseStorageClass } from '../parameters/storage-class.js';
import { required, requireVolume } from '../px-volumes.js';
import type { ControllerContext } from './context.js';

/** A capability that is not possible is an answer here, not an error. */
export async function validateCapabilities(
  context: ControllerContext,
  request: ValidateVolumeCapabilitiesRequest__Output,
): Promise<ValidateVolumeCapabilitiesResponse> {
  const id = required(request.volume_id, 'volume_id');
  if (request.volume_capabilities.length === 0) {
    throw new PxError('invalid_argument', 'volume_capabilities is empty', { id });
  }
  const volume = await requireVolume(context.px, id);
  const message = objection(volume, request);
  if (message !== undefined) return { message };
  return {
    confirmed: {
      volume_context: request.volume_context,
      volume_capabilities: request.volume_capabilities,
      parameters: request.parameters,
      mutable_parameters: request.mutable_parameters,
    },
  };
}

function objection(
  volume: Volume__Output,
  request: ValidateVolumeCapabilitiesRequest__Output,
): string | undefined {
  try {
    parseStorageClass(request.parameters);
    parseMutable(request.mutable_parameters);
    const accesses = readAccesses(request.volume_capabilities);
    if (volume.spec?.fs === 'none' && accesses.some((access) => access.kind === 'mount')) {
      return `volume "${volume.id}" is raw block and has no file system`;
    }
    if (volume.read_only && !accesses.every((access) => access.readOnly)) {
      return `volume "${volume.id}" is read-only`;
    }
    return undefined;
  } catch (thrown) {
    const error = toPxError(thrown);
    if (error.code !== 'invalid_argument') throw thrown;
    return error.message;
  }
}
