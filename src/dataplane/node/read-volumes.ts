import { PxError } from '../../kernel/errors.js';
import type { VolumeRecord } from '../../kernel/volume-record.js';
import type { ListVolumesRequest__Output } from '../../gen/px/v1/ListVolumesRequest.js';
import type { ListVolumesResponse } from '../../gen/px/v1/ListVolumesResponse.js';
import type { Volume } from '../../gen/px/v1/Volume.js';
import type { CallContext } from '../../platform/grpc-server.js';
import type { ClusterState } from '../cluster/cluster-view.js';
import { noVolume } from '../cluster/volume-repository.js';
import type { AttachedVolumeStatus } from '../engine/api.js';
import type { NodeContext } from './context.js';
import { forwarded, forwardedHeader } from './peers.js';
import { viewVolume } from './volume-view.js';

/** A node that hangs must not hold up a look at a volume. */
const peerTimeoutMs = 2_000;

/** While the kvdb is away, what was read last answers: an operator needs it most then. */
export async function getVolume(
  context: NodeContext,
  call: CallContext,
  idOrName: string,
): Promise<Volume> {
  const state = await context.view.best();
  const record = find(state, idOrName);
  if (record === undefined) throw noVolume(idOrName);
  const owner = record.attachedOn;
  const remote =
    owner !== '' &&
    owner !== context.self.id &&
    state.alive.has(owner) &&
    call.metadata(forwardedHeader) === '';
  if (remote) {
    try {
      // Only the coordinator knows the device, the counters and how far a resync is.
      return await context.peers
        .api(owner)
        .GetVolume({ id_or_name: record.id }, { timeoutMs: peerTimeoutMs, metadata: forwarded });
    } catch (error) {
      context.logger.debug('the coordinator of a volume did not answer', { error });
    }
  }
  const attached = owner === context.self.id ? await localStatus(context) : new Map();
  return viewVolume(record, state, attached.get(record.id) as AttachedVolumeStatus | undefined);
}

function find(state: ClusterState, idOrName: string): VolumeRecord | undefined {
  const byId = state.volumes.get(idOrName);
  if (byId !== undefined) return byId;
  for (const record of state.volumes.values()) {
    if (record.name === idOrName && record.lifecycle !== 'deleting') return record;
  }
  return undefined;
}

async function localStatus(context: NodeContext): Promise<Map<string, AttachedVolumeStatus>> {
  try {
    const volumes = await context.engine.call('volume.list', {});
    return new Map(volumes.map((volume) => [volume.volumeId, volume]));
  } catch {
    return new Map();
  }
}

export async function listVolumes(
  context: NodeContext,
  request: ListVolumesRequest__Output,
): Promise<ListVolumesResponse> {
  const state = await context.view.best();
  const after = parseToken(request.starting_token);
  const selected = [...state.volumes.values()].filter(
    (record) => record.lifecycle !== 'deleting' && record.id > after && isAsked(record, request),
  );
  const page = request.max_entries === 0 ? selected : selected.slice(0, request.max_entries);
  const last = page.at(-1);
  const local = await localStatus(context);
  return {
    volumes: page.map((record) => viewVolume(record, state, local.get(record.id))),
    next_token: page.length < selected.length && last !== undefined ? last.id : '',
  };
}

function isAsked(record: VolumeRecord, request: ListVolumesRequest__Output): boolean {
  if (request.only_snapshots && !record.readOnly) return false;
  if (request.no_snapshots && record.readOnly) return false;
  return request.parent_id === '' || record.parentId === request.parent_id;
}

/** A token is the last id of the page before: pages stay right while volumes come and go. */
function parseToken(token: string): string {
  if (token === '' || /^[0-9a-f-]{36}$/.test(token)) return token;
  throw new PxError('invalid_argument', `starting_token "${token}" is not one of ours`);
}
