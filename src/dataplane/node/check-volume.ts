import type { CheckVolumeRequest__Output } from '../../gen/px/v1/CheckVolumeRequest.js';
import type { CheckVolumeResponse } from '../../gen/px/v1/CheckVolumeResponse.js';
import type { CallContext } from '../../platform/grpc-server.js';
import { atCoordinator } from './coordinator-node.js';
import { lockWaitMs, type NodeContext } from './context.js';

/** Compares the contents of the in-sync replicas by hash. */
export async function checkVolume(
  context: NodeContext,
  call: CallContext,
  request: CheckVolumeRequest__Output,
): Promise<CheckVolumeResponse> {
  const { record } = await context.volumes.require(request.id_or_name);
  return atCoordinator<CheckVolumeResponse>(
    context,
    call,
    record,
    () =>
      context.locks.run(record.id, lockWaitMs, () =>
        context.internal.with(record.id, async () => {
          const result = await context.engine.call('volume.check', { volumeId: record.id });
          return {
            equal: result.differences.length === 0,
            bytes_compared: result.bytesCompared,
            replicas_compared: [...result.replicas],
            differences: result.differences.map(({ offset, length, digests }) => ({
              offset_bytes: offset,
              length_bytes: length,
              digests: [...digests],
            })),
          };
        }),
      ),
    (peer, options) => peer.CheckVolume(request, options),
  );
}
