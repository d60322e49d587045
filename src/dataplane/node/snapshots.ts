import { PxError } from '../../kernel/errors.js';
import type { VolumeRecord } from '../../kernel/volume-record.js';
import type { CloneVolumeRequest__Output } from '../../gen/px/v1/CloneVolumeRequest.js';
import type { CreateSnapshotRequest__Output } from '../../gen/px/v1/CreateSnapshotRequest.js';
import type { RestoreSnapshotRequest__Output } from '../../gen/px/v1/RestoreSnapshotRequest.js';
import type { Volume } from '../../gen/px/v1/Volume.js';
import type { CallContext } from '../../platform/grpc-server.js';
import { atCoordinator } from './coordinator-node.js';
import { lockWaitMs, type NodeContext } from './context.js';
import { copyVolume } from './copy-volume.js';
import { cloneSpec, governRequest, openRules } from './governed-volume.js';
import { parseSize } from './volume-spec.js';
import { isInternal, viewVolume } from './volume-view.js';

export async function createSnapshot(
  context: NodeContext,
  call: CallContext,
  request: CreateSnapshotRequest__Output,
): Promise<Volume> {
  const { record: source } = await context.volumes.require(request.volume_id_or_name);
  // Nothing governs a moment of a volume, and no snapshot is taken of it.
  const ungoverned = { ...source.spec, storagePolicy: undefined, snapshotSchedule: undefined };
  const spec = { ...ungoverned, sticky: false, labels: { ...request.labels } };
  return atCoordinator(
    context,
    call,
    source,
    async () => {
      const snapshot = await copyVolume(context, {
        sourceId: source.id,
        name: request.name,
        sizeBytes: source.sizeBytes,
        readOnly: true,
        spec,
        origin: {},
        checkExisting: (found) => checkCopy(found, source, true),
      });
      return viewVolume(snapshot, await context.view.fresh());
    },
    (peer, options) => peer.CreateSnapshot(request, options),
  );
}

export async function cloneVolume(
  context: NodeContext,
  call: CallContext,
  request: CloneVolumeRequest__Output,
): Promise<Volume> {
  const { record: source } = await context.volumes.require(request.source_id_or_name);
  const wanted = Number(request.size_bytes);
  const sizeBytes = wanted === 0 ? source.sizeBytes : parseSize(wanted);
  if (sizeBytes < source.sizeBytes) {
    throw new PxError('out_of_range', `a clone can't be smaller than "${source.name}"`);
  }
  return atCoordinator(
    context,
    call,
    source,
    async () => {
      // What a clone inherits nobody asked for: the policy may change it.
      const open = openRules(null);
      const wish = { name: request.name, limitBytes: Infinity, parentId: source.id, open };
      const spec = await cloneSpec(context, source, request.labels);
      const governed = await governRequest(context, wish, { sizeBytes, spec });
      const clone = await copyVolume(context, {
        sourceId: source.id,
        name: request.name,
        sizeBytes: governed.sizeBytes,
        readOnly: false,
        spec: governed.spec,
        origin: governed.origin,
        checkExisting: (found) => checkCopy(found, source, false),
      });
      return viewVolume(clone, await context.view.fresh());
    },
    (peer, options) => peer.CloneVolume(request, options),
  );
}

function checkCopy(found: VolumeRecord, source: VolumeRecord, readOnly: boolean): void {
  if (found.parentId === source.id && found.readOnly === readOnly) return;
  throw new PxError(
    'already_exists',
    `"${found.name}" exists and is no ${readOnly ? 'snapshot' : 'clone'} of "${source.name}"`,
    { id: found.id },
  );
}

/** Puts a snapshot's content back into the volume that it was taken from. */
export async function restoreSnapshot(
  context: NodeContext,
  call: CallContext,
  request: RestoreSnapshotRequest__Output,
): Promise<Volume> {
  const { record } = await context.volumes.require(request.volume_id_or_name);
  const { record: snapshot } = await context.volumes.require(request.snapshot_id_or_name);
  checkRestore(record, snapshot);
  return atCoordinator(
    context,
    call,
    record,
    () =>
      context.locks.run(record.id, lockWaitMs, async () => {
        const { record: current } = await context.volumes.require(record.id);
        const state = await context.view.fresh();
        if (current.attachedOn !== '' && !isInternal(current, state)) {
          throw new PxError(
            'failed_precondition',
            `volume "${current.name}" is attached; detach it before a restore`,
          );
        }
        const replicaIds = besideSnapshot(current, snapshot);
        await context.internal.with(record.id, async () => {
          await context.engine.call('volume.restore', {
            ...{ volumeId: record.id, sourceVolumeId: snapshot.id, replicaIds },
          });
          if (snapshot.sizeBytes !== current.sizeBytes) {
            await context.engine.call('volume.resize', {
              volumeId: record.id,
              sizeBytes: current.sizeBytes,
            });
          }
        });
        const { record: restored } = await context.volumes.require(record.id);
        return viewVolume(restored, await context.view.fresh());
      }),
    (peer, options) => peer.RestoreSnapshot(request, options),
  );
}

/** The content is put back within a pool; replicas that were moved may have left it. */
function besideSnapshot(record: VolumeRecord, snapshot: VolumeRecord): string[] {
  const pools = snapshot.replicas.filter(({ state }) => state === 'in_sync');
  const beside = record.replicas.filter(
    (replica) =>
      replica.state === 'in_sync' && pools.some(({ poolId }) => poolId === replica.poolId),
  );
  if (beside.length > 0) return beside.map(({ id }) => id);
  throw new PxError(
    'failed_precondition',
    `no pool holds both "${record.name}" and its snapshot "${snapshot.name}": move a replica of ` +
      `one to a node of the other ("pxctl volume ha-update --node")`,
    { nodes: snapshot.replicas.map(({ nodeId }) => nodeId) },
  );
}

function checkRestore(record: VolumeRecord, snapshot: VolumeRecord): void {
  if (!snapshot.readOnly || snapshot.parentId !== record.id) {
    throw new PxError(
      'invalid_argument',
      `"${snapshot.name}" is not a snapshot of "${record.name}"`,
    );
  }
  if (snapshot.lifecycle !== 'ready') {
    throw new PxError(
      'failed_precondition',
      `snapshot "${snapshot.name}" is ${snapshot.lifecycle}`,
    );
  }
}
