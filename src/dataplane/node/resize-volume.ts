import { PxError } from '../../kernel/errors.js';
import type { VolumeRecord } from '../../kernel/volume-record.js';
import type { ResizeVolumeRequest__Output } from '../../gen/px/v1/ResizeVolumeRequest.js';
import type { Volume } from '../../gen/px/v1/Volume.js';
import type { CallContext } from '../../platform/grpc-server.js';
import { atCoordinator } from './coordinator-node.js';
import { lockWaitMs, type NodeContext } from './context.js';
import { governGrowth } from './governed-volume.js';
import { parseSize } from './volume-spec.js';
import { viewVolume } from './volume-view.js';

export async function resizeVolume(
  context: NodeContext,
  call: CallContext,
  request: ResizeVolumeRequest__Output,
): Promise<Volume> {
  const askedBytes = parseSize(request.size_bytes);
  const { record } = await context.volumes.require(request.id_or_name);
  checkGrowth(record, askedBytes);
  const sizeBytes = await governGrowth(context, record, askedBytes);
  return atCoordinator(
    context,
    call,
    record,
    () =>
      context.locks.run(record.id, lockWaitMs, async () => {
        const grown = await growReplicas(context, record.id, sizeBytes);
        return viewVolume(grown, await context.view.fresh());
      }),
    (peer, options) => peer.ResizeVolume(request, options),
  );
}

/**
 * The record first: from then on every attach brings replicas to the new
 * size, so that a crash after it leaves nothing half-done for good.
 */
export async function growReplicas(
  context: NodeContext,
  volumeId: string,
  sizeBytes: number,
): Promise<VolumeRecord> {
  const record = await context.volumes.update(volumeId, (current) => {
    checkGrowth(current, sizeBytes);
    return current.sizeBytes === sizeBytes ? undefined : { ...current, sizeBytes };
  });
  await context.internal.with(volumeId, () =>
    context.engine.call('volume.resize', { volumeId, sizeBytes }),
  );
  return record;
}

function checkGrowth(record: VolumeRecord, sizeBytes: number): void {
  if (record.readOnly) {
    throw new PxError('failed_precondition', `"${record.name}" is a snapshot and keeps its size`);
  }
  if (record.lifecycle !== 'ready') {
    throw new PxError('failed_precondition', `volume "${record.name}" is ${record.lifecycle}`);
  }
  if (sizeBytes < record.sizeBytes) {
    throw new PxError(
      'out_of_range',
      `volume "${record.name}" has ${record.sizeBytes} bytes and can't shrink to ${sizeBytes}`,
    );
  }
}
