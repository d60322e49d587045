import { randomUUID } from 'node:crypto';
import { PxError } from '../../kernel/errors.js';
import type { ReplicaRecord, VolumeRecord, VolumeSpecRecord } from '../../kernel/volume-record.js';
import { placeReplicas } from '../cluster/placement.js';
import { lockWaitMs, type NodeContext } from './context.js';
import type { VolumeOrigin } from './governed-volume.js';
import { groupReplicas, placementNodes, placementRules } from './placement-input.js';
import { ensureReplicaOn, newReplica } from './replicas.js';
import { growReplicas } from './resize-volume.js';
import { checkName } from './volume-spec.js';

export interface CopyRequest {
  readonly sourceId: string;
  readonly name: string;
  readonly sizeBytes: number;
  /** A snapshot; else a clone. */
  readonly readOnly: boolean;
  readonly spec: VolumeSpecRecord;
  readonly origin: VolumeOrigin;
  /** Throws when the volume of that name is not what is asked for. */
  checkExisting(record: VolumeRecord): void;
}

/**
 * Makes a snapshot or clone, on the node that coordinates the source: its
 * record first, then the copies at one moment, then the record says which
 * replicas were copied. Each step may be done again after a crash.
 */
export async function copyVolume(
  context: NodeContext,
  request: CopyRequest,
): Promise<VolumeRecord> {
  checkName(request.name);
  return context.locks.run(request.sourceId, lockWaitMs, async () => {
    const { record: source } = await context.volumes.require(request.sourceId);
    if (source.lifecycle !== 'ready') {
      throw new PxError('failed_precondition', `volume "${source.name}" is ${source.lifecycle}`);
    }
    const existing = await context.volumes.find(request.name);
    const { record } =
      existing?.record.name === request.name
        ? existing
        : await context.volumes.create(plannedRecord(source, request));
    request.checkExisting(record);
    return finishCopy(context, source, record);
  });
}

function plannedRecord(source: VolumeRecord, request: CopyRequest): VolumeRecord {
  const grow = request.sizeBytes > source.sizeBytes ? { growToBytes: request.sizeBytes } : {};
  return {
    id: randomUUID(),
    name: request.name,
    lifecycle: 'creating',
    sizeBytes: source.sizeBytes,
    spec: request.spec,
    createdAt: new Date().toISOString(),
    readOnly: request.readOnly,
    parentId: source.id,
    replicas: [],
    epoch: 0,
    attachedOn: '',
    attachToken: '',
    publishedOn: '',
    publishedReadOnly: false,
    pendingCopy: { sourceVolumeId: source.id, ...grow },
    ...request.origin,
  };
}

async function finishCopy(
  context: NodeContext,
  source: VolumeRecord,
  begun: VolumeRecord,
): Promise<VolumeRecord> {
  let record = begun;
  if (record.lifecycle === 'creating') record = await copyReplicas(context, source.id, record);
  const growToBytes = record.pendingCopy?.growToBytes;
  if (growToBytes === undefined) return record;
  await growReplicas(context, record.id, growToBytes);
  return context.volumes.update(record.id, (current) => ({ ...current, pendingCopy: undefined }));
}

async function copyReplicas(
  context: NodeContext,
  sourceId: string,
  begun: VolumeRecord,
): Promise<VolumeRecord> {
  return context.internal.with(sourceId, async () => {
    // As of the attach: it may have taken a replica out that does not answer.
    const { record: source } = await context.volumes.require(sourceId);
    const plan = planCopies(source, begun);
    // Named in the record before they are made, so that a deletion finds them.
    const planned = await context.volumes.update(begun.id, (current) => ({
      ...current,
      sizeBytes: source.sizeBytes,
      replicas: plan.map(({ replica }) => replica),
    }));
    const result = await context.engine.call('volume.copy', {
      volumeId: source.id,
      targetVolumeId: planned.id,
      replicas: Object.fromEntries(plan.map(({ from, replica }) => [from, replica.id])),
    });
    const done = plan.filter(
      ({ from, replica }) => result.copied.includes(from) || result.copied.includes(replica.id),
    );
    if (done.length === 0) {
      throw new PxError('io_error', `no replica of "${source.name}" could be copied`);
    }
    const copied = done.map(({ replica }) => replica);
    const added = begun.readOnly ? [] : await addReplicas(context, planned, copied);
    return context.volumes.update(begun.id, (current) => {
      const { pendingCopy, ...rest } = current;
      return {
        ...rest,
        lifecycle: 'ready',
        replicas: [...copied, ...added],
        ...(pendingCopy?.growToBytes === undefined ? {} : { pendingCopy }),
      };
    });
  });
}

/** Copies lie beside their originals, as reflinks can't cross a file system. */
function planCopies(
  source: VolumeRecord,
  target: VolumeRecord,
): { from: string; replica: ReplicaRecord }[] {
  return source.replicas
    .filter((replica) => replica.state === 'in_sync')
    .slice(0, target.readOnly ? undefined : target.spec.replicas)
    .map((original) => {
      const { nodeId, poolId } = original;
      const planned = target.replicas.find(
        (replica) => replica.nodeId === nodeId && replica.poolId === poolId,
      );
      return { from: original.id, replica: planned ?? newReplica({ nodeId, poolId }, 'in_sync') };
    });
}

/** A clone that asks for more replicas than its source has gets them by resync. */
async function addReplicas(
  context: NodeContext,
  target: VolumeRecord,
  copied: readonly ReplicaRecord[],
): Promise<ReplicaRecord[]> {
  const missing = target.spec.replicas - copied.length;
  if (missing <= 0) return [];
  const state = await context.view.fresh();
  try {
    const placements = placeReplicas(placementNodes(state), {
      sizeBytes: target.sizeBytes,
      spec: { ...target.spec, replicas: missing },
      preferredNodes: [],
      required: [],
      groupReplicas: groupReplicas(state, target.spec.group),
      existingNodes: copied.map((replica) => replica.nodeId),
      rules: placementRules(state, target),
    });
    const added = placements.map((placement) => newReplica(placement, 'out'));
    await Promise.all(added.map((replica) => ensureReplicaOn(context, target, replica)));
    return added;
  } catch (error) {
    // The clone is whole with fewer; its status says that it is degraded.
    context.logger.warn('a clone has fewer replicas than asked for', { volume: target.id, error });
    return [];
  }
}
