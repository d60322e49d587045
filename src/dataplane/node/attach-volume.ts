import { PxError } from '../../kernel/errors.js';
import type { VolumeRecord } from '../../kernel/volume-record.js';
import type { AttachVolumeRequest__Output } from '../../gen/px/v1/AttachVolumeRequest.js';
import type { AttachVolumeResponse } from '../../gen/px/v1/AttachVolumeResponse.js';
import type { DetachVolumeRequest__Output } from '../../gen/px/v1/DetachVolumeRequest.js';
import type { CallContext } from '../../platform/grpc-server.js';
import type { ClusterState } from '../cluster/cluster-view.js';
import { lockWaitMs, type NodeContext } from './context.js';
import { endInternalWork } from './delete-volume.js';
import { waitForDead } from './dead-nodes.js';
import { withoutReservation } from './fence-rules.js';
import { forwarded, forwardedHeader } from './peers.js';
import { isInternal } from './volume-view.js';
import type { FrontendName } from '../engine/api.js';
import { requireNbdModule } from '../frontend/nbd-device.js';

const detachTimeoutMs = 60_000;

/**
 * Attaches on this node. A volume that another living node has is refused, but
 * when the controller has given the reservation to this one, or by force: the
 * new epoch fences whoever had it. A dead node is never asked.
 */
export async function attachVolume(
  context: NodeContext,
  request: AttachVolumeRequest__Output,
): Promise<AttachVolumeResponse> {
  const frontend = parseFrontend(request.frontend);
  // Before anything of the volume is changed.
  if (frontend === 'nbd-device') requireNbdModule();
  const { record } = await context.volumes.require(request.id_or_name);
  const readOnly = request.read_only || record.readOnly;
  const present = await context.internal.current(record.id);
  if (present === undefined || present.frontend === 'none') {
    if (!request.force) await waitForDead(context, [record.publishedOn, record.attachedOn]);
    checkAttachable(context, record, await context.view.fresh(), request.force);
    await pushAside(context, record);
  }
  return context.locks.run(record.id, lockWaitMs, async () => {
    await clearLeftover(context, record.id, frontend, readOnly);
    const state = await context.view.fresh();
    const reserved = await context.volumes.update(record.id, (current) => {
      if (current.attachedOn === context.self.id && current.publishedOn !== '') return undefined;
      checkAttachable(context, current, state, request.force);
      if (current.publishedOn === context.self.id) return undefined;
      if (current.publishedOn !== '' && !request.force && state.alive.has(current.publishedOn)) {
        return undefined;
      }
      return {
        ...current,
        publishedOn: context.self.id,
        publishedReadOnly: readOnly,
        reservedByAttach: true,
      };
    });
    const attached = await context.engine.call('volume.attach', {
      volumeId: reserved.id,
      frontend,
      readOnly,
    });
    context.logger.info('volume attached', { volume: record.id, epoch: attached.epoch });
    return {
      device_path: attached.devicePath,
      nbd_uri: attached.nbdUri,
      epoch: attached.epoch,
      size_bytes: attached.sizeBytes,
    };
  });
}

function parseFrontend(text: string): FrontendName {
  if (text === '' || text === 'fuse') return 'fuse';
  if (text === 'nbd' || text === 'nbd-device') return text;
  throw new PxError(
    'invalid_argument',
    `frontend: must be fuse, nbd or nbd-device, and is "${text}"`,
  );
}

function checkAttachable(
  context: NodeContext,
  record: VolumeRecord,
  state: ClusterState,
  force: boolean,
): void {
  if (record.lifecycle !== 'ready') {
    throw new PxError('failed_precondition', `volume "${record.name}" is ${record.lifecycle}`);
  }
  if (force) return;
  const self = context.self.id;
  const nameOf = (nodeId: string) => state.nodes.get(nodeId)?.name ?? nodeId;
  const { publishedOn, attachedOn } = record;
  if (publishedOn !== '' && publishedOn !== self && state.alive.has(publishedOn)) {
    const what = record.reservedByAttach === true ? 'attached' : 'published';
    throw new PxError(
      'failed_precondition',
      `volume "${record.name}" is ${what} on ${nameOf(publishedOn)}; detach it there, or use force`,
      { publishedOn },
    );
  }
  const othersUser =
    attachedOn !== '' &&
    attachedOn !== self &&
    state.alive.has(attachedOn) &&
    !isInternal(record, state);
  if (othersUser && publishedOn !== self) {
    throw new PxError(
      'failed_precondition',
      `volume "${record.name}" is attached on ${nameOf(attachedOn)}; detach it there, or use force`,
      { attachedOn },
    );
  }
}

/** Work that a node does for itself gives way to a user; one that doesn't answer gets fenced. */
async function pushAside(context: NodeContext, record: VolumeRecord): Promise<void> {
  try {
    await endInternalWork(context, record);
  } catch (error) {
    if (error instanceof PxError && error.code === 'aborted') throw error;
    context.logger.warn('a node did not end its work on the volume; it is fenced', {
      volume: record.id,
      nodeId: record.attachedOn,
      error,
    });
  }
}

/** Takes down what this node still has of an earlier attach that is not the one asked for. */
async function clearLeftover(
  context: NodeContext,
  volumeId: string,
  frontend: FrontendName,
  readOnly: boolean,
): Promise<void> {
  const present = await context.internal.current(volumeId);
  if (present === undefined) return;
  if (present.phase === 'fenced') {
    await context.engine.call('volume.detach', { volumeId, force: true });
  } else if (present.frontend === 'none') {
    await context.internal.end(volumeId);
  } else if (present.frontend !== frontend || present.readOnly !== readOnly) {
    throw new PxError(
      'failed_precondition',
      `volume "${volumeId}" is attached here ${present.readOnly ? 'read-only ' : ''}` +
        `by ${present.frontend}; detach it first`,
    );
  }
}

/** Detaches from this node, or has the node that has it do so. */
export async function detachVolume(
  context: NodeContext,
  call: CallContext,
  request: DetachVolumeRequest__Output,
): Promise<void> {
  const found = await context.volumes.find(request.id_or_name);
  if (found === undefined) return;
  const { record } = found;
  const state = await context.view.fresh();
  const present = await context.internal.current(record.id);
  const elsewhere = record.attachedOn !== '' && record.attachedOn !== context.self.id;
  if (present === undefined && elsewhere && call.metadata(forwardedHeader) === '') {
    if (isInternal(record, state)) return;
    if (state.alive.has(record.attachedOn)) {
      await context.peers
        .api(record.attachedOn)
        .DetachVolume(request, { metadata: forwarded, timeoutMs: detachTimeoutMs });
      return;
    }
    return clearDeadAttach(context, record, state);
  }
  await context.locks.run(record.id, lockWaitMs, async () => {
    if (present?.frontend === 'none' && present.phase !== 'fenced') return;
    const force = request.force || present?.phase === 'fenced';
    await context.engine.call('volume.detach', { volumeId: record.id, force });
    const gone = (await context.internal.current(record.id)) === undefined;
    await context.volumes.update(record.id, (current) => withoutOwnAttach(context, current, gone));
    context.logger.info('volume detached', { volume: record.id });
  });
}

/**
 * What a detach leaves of the record. Once nothing of the volume is attached
 * here, a record that still says so is of this node's life before a crash.
 */
function withoutOwnAttach(
  context: NodeContext,
  current: VolumeRecord,
  gone: boolean,
): VolumeRecord | undefined {
  const self = context.self.id;
  const reserved = current.reservedByAttach === true && current.publishedOn === self;
  const leftOver = gone && current.attachedOn === self;
  if (!reserved && !leftOver) return undefined;
  const kept = reserved ? withoutReservation(current) : current;
  return leftOver ? { ...kept, attachedOn: '', attachToken: '', epoch: current.epoch + 1 } : kept;
}

/** A node that is gone can't detach; its epoch is over with the next attach anyway. */
async function clearDeadAttach(
  context: NodeContext,
  record: VolumeRecord,
  state: ClusterState,
): Promise<void> {
  await context.volumes.update(record.id, (current) => {
    if (current.attachedOn === '' || state.alive.has(current.attachedOn)) return undefined;
    const cleared = current.reservedByAttach === true ? withoutReservation(current) : current;
    return { ...cleared, attachedOn: '', attachToken: '', epoch: current.epoch + 1 };
  });
}
