import type { CreateSnapshotRequest__Output } from '../../gen/csi/v1/CreateSnapshotRequest.js';
import type { CreateSnapshotResponse } from '../../gen/csi/v1/CreateSnapshotResponse.js';
import type { DeleteSnapshotRequest__Output } from '../../gen/csi/v1/DeleteSnapshotRequest.js';
import type { GetSnapshotRequest__Output } from '../../gen/csi/v1/GetSnapshotRequest.js';
import type { ListSnapshotsRequest__Output } from '../../gen/csi/v1/ListSnapshotsRequest.js';
import type { ListSnapshotsResponse } from '../../gen/csi/v1/ListSnapshotsResponse.js';
import type { Volume__Output } from '../../gen/px/v1/Volume.js';
import { PxError } from '../../kernel/errors.js';
import { parseSnapshotClass } from '../parameters/snapshot-class.js';
import {
  findVolume,
  isReady,
  isSnapshot,
  lookUpVolume,
  pxTimeouts,
  required,
  requireVolume,
} from '../px-volumes.js';
import type { ControllerContext } from './context.js';
import { snapshotMessage } from './messages.js';
import { listPage } from './pages.js';

export function snapshotHandlers(context: ControllerContext) {
  return {
    CreateSnapshot: (request: CreateSnapshotRequest__Output) => createSnapshot(context, request),
    DeleteSnapshot: (request: DeleteSnapshotRequest__Output) => deleteSnapshot(context, request),
    ListSnapshots: (request: ListSnapshotsRequest__Output) => listSnapshots(context, request),
    GetSnapshot: async (request: GetSnapshotRequest__Output) => {
      const id = required(request.snapshot_id, 'snapshot_id');
      const volume = await findVolume(context.px, id);
      if (volume === undefined || !isSnapshot(volume)) {
        throw new PxError('not_found', `there is no snapshot "${id}"`, { id });
      }
      return { snapshot: snapshotMessage(volume) };
    },
  };
}

async function createSnapshot(
  context: ControllerContext,
  request: CreateSnapshotRequest__Output,
): Promise<CreateSnapshotResponse> {
  const name = required(request.name, 'name');
  const sourceId = required(request.source_volume_id, 'source_volume_id');
  const labels = parseSnapshotClass(request.parameters);
  return context.locks.run(`name ${name}`, 'CreateSnapshot', async () => {
    const existing = await findExisting(context, name, sourceId);
    if (existing !== undefined) return { snapshot: snapshotMessage(existing) };
    const source = await requireVolume(context.px, sourceId);
    if (isSnapshot(source)) {
      throw new PxError('invalid_argument', `"${sourceId}" is a snapshot; snapshot its volume`);
    }
    const made = await context.px.CreateSnapshot(
      { volume_id_or_name: sourceId, name, labels },
      { timeoutMs: pxTimeouts.copyMs },
    );
    return { snapshot: snapshotMessage(made) };
  });
}

/** The finished snapshot of that name; a half-made one is for px-node to finish. */
async function findExisting(
  context: ControllerContext,
  name: string,
  sourceId: string,
): Promise<Volume__Output | undefined> {
  const existing = await lookUpVolume(context.px, name);
  if (existing === undefined || existing.name !== name) return undefined;
  if (!isSnapshot(existing) || existing.parent_id !== sourceId) {
    const what = isSnapshot(existing) ? `a snapshot of "${existing.parent_id}"` : 'a volume';
    throw new PxError('already_exists', `the name "${name}" belongs to ${what}`);
  }
  return isReady(existing) ? existing : undefined;
}

async function deleteSnapshot(
  context: ControllerContext,
  request: DeleteSnapshotRequest__Output,
): Promise<Record<string, never>> {
  const id = required(request.snapshot_id, 'snapshot_id');
  return context.locks.run(id, 'DeleteSnapshot', async () => {
    const volume = await findVolume(context.px, id);
    if (volume === undefined) return {};
    if (!isSnapshot(volume)) {
      throw new PxError('invalid_argument', `"${id}" is a volume; DeleteVolume deletes it`);
    }
    await context.px.DeleteVolume({ id_or_name: id }, { timeoutMs: pxTimeouts.changeMs });
    return {};
  });
}

async function listSnapshots(
  context: ControllerContext,
  request: ListSnapshotsRequest__Output,
): Promise<ListSnapshotsResponse> {
  if (request.snapshot_id !== '') {
    const volume = await findVolume(context.px, request.snapshot_id);
    const found = volume !== undefined && isSnapshot(volume) && belongsTo(volume, request);
    return { entries: found ? [{ snapshot: snapshotMessage(volume) }] : [] };
  }
  const page = await listPage(context.px, request.max_entries, request.starting_token, {
    only_snapshots: true,
    parent_id: request.source_volume_id,
  });
  return {
    entries: page.volumes
      .filter((volume) => isSnapshot(volume))
      .map((volume) => ({ snapshot: snapshotMessage(volume) })),
    next_token: page.nextToken,
  };
}

function belongsTo(volume: Volume__Output, request: ListSnapshotsRequest__Output): boolean {
  return request.source_volume_id === '' || volume.parent_id === request.source_volume_id;
}
