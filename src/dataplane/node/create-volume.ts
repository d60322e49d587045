import { randomUUID } from 'node:crypto';
import { PxError } from '../../kernel/errors.js';
import type { VolumeRecord } from '../../kernel/volume-record.js';
import type { CreateVolumeRequest__Output } from '../../gen/px/v1/CreateVolumeRequest.js';
import type { Volume } from '../../gen/px/v1/Volume.js';
import type { CallContext } from '../../platform/grpc-server.js';
import { placeReplicas, type Placement } from '../cluster/placement.js';
import { atCoordinator } from './coordinator-node.js';
import { lockWaitMs, type NodeContext } from './context.js';
import { copyVolume } from './copy-volume.js';
import { governRequest, openRules, requestDigest, type GovernedVolume } from './governed-volume.js';
import { groupReplicas, placementNodes, placementRules } from './placement-input.js';
import { ensureReplicaOn, newReplica } from './replicas.js';
import { checkName, parseVolumeSpec, sameSpec, type AskedVolume } from './volume-spec.js';
import { viewVolume } from './volume-view.js';

/** Nodes that fail while their replica is made are replaced this often. */
const placementTries = 3;

/** Creates a volume, or goes on with one that an earlier call began. */
export async function createVolume(
  context: NodeContext,
  call: CallContext,
  request: CreateVolumeRequest__Output,
): Promise<Volume> {
  const name = checkName(request.name);
  const asked = parseVolumeSpec(request.spec);
  if (request.from_volume_id !== '') return createFrom(context, call, request, asked);
  const existing = await context.volumes.find(name);
  const planned =
    existing?.record.name === name ? existing.record : await planVolume(context, request, asked);
  const { record } =
    planned === existing?.record ? existing : await context.volumes.create(planned);
  checkSame(record, asked, '');
  const done = await finishCreation(context, record, request);
  return viewVolume(done, await context.view.fresh());
}

async function planVolume(
  context: NodeContext,
  request: CreateVolumeRequest__Output,
  asked: AskedVolume,
): Promise<VolumeRecord> {
  const governed = await governRequest(context, wishOf(request, ''), asked);
  return newRecord(request.name, governed, await place(context, request, governed, []));
}

function wishOf(request: CreateVolumeRequest__Output, parentId: string) {
  const limitBytes = Number(request.limit_bytes) || Infinity;
  return { name: request.name, limitBytes, parentId, open: openRules(request.spec) };
}

async function createFrom(
  context: NodeContext,
  call: CallContext,
  request: CreateVolumeRequest__Output,
  asked: AskedVolume,
): Promise<Volume> {
  const source = await context.volumes.require(request.from_volume_id);
  if (asked.sizeBytes < source.record.sizeBytes) {
    throw new PxError(
      'out_of_range',
      `the source "${source.record.name}" has ${source.record.sizeBytes} bytes; a copy can't be smaller`,
    );
  }
  return atCoordinator(
    context,
    call,
    source.record,
    async () => {
      const wish = wishOf(request, source.record.id);
      const governed = await governRequest(context, wish, asked);
      const record = await copyVolume(context, {
        sourceId: source.record.id,
        name: request.name,
        sizeBytes: governed.sizeBytes,
        readOnly: false,
        spec: governed.spec,
        origin: governed.origin,
        checkExisting: (found) => checkSame(found, asked, source.record.id),
      });
      return viewVolume(record, await context.view.fresh());
    },
    (peer, options) => peer.CreateVolume(request, options),
  );
}

function checkSame(record: VolumeRecord, asked: AskedVolume, parentId: string): void {
  const sizeBytes = record.pendingCopy?.growToBytes ?? record.sizeBytes;
  const sameVolume = sizeBytes === asked.sizeBytes && sameSpec(record.spec, asked.spec);
  // A policy may have made another volume of this very request.
  const sameRequest = record.requestDigest === requestDigest(asked, parentId);
  if (record.parentId === parentId && !record.readOnly && (sameVolume || sameRequest)) return;
  throw new PxError(
    'already_exists',
    `a volume named "${record.name}" exists with another size, source or specification`,
    { id: record.id },
  );
}

async function place(
  context: NodeContext,
  request: Pick<CreateVolumeRequest__Output, 'preferred_nodes' | 'required'>,
  asked: AskedVolume,
  failedNodes: readonly string[],
): Promise<Placement[]> {
  const state = await context.view.fresh();
  const nodes = placementNodes(state).map((node) =>
    failedNodes.includes(node.id) ? { ...node, alive: false } : node,
  );
  return placeReplicas(nodes, {
    sizeBytes: asked.sizeBytes,
    spec: asked.spec,
    preferredNodes: request.preferred_nodes,
    required: request.required.map((topology) => topology.segments),
    groupReplicas: groupReplicas(state, asked.spec.group),
    existingNodes: [],
    rules: placementRules(state, { id: '', spec: asked.spec, readOnly: false }),
  });
}

export function newRecord(
  name: string,
  asked: AskedVolume & Partial<GovernedVolume>,
  placements: readonly Placement[],
): VolumeRecord {
  return {
    id: randomUUID(),
    name,
    lifecycle: 'creating',
    sizeBytes: asked.sizeBytes,
    spec: asked.spec,
    createdAt: new Date().toISOString(),
    readOnly: false,
    parentId: '',
    replicas: placements.map((placement) => newReplica(placement, 'in_sync')),
    epoch: 0,
    attachedOn: '',
    attachToken: '',
    publishedOn: '',
    publishedReadOnly: false,
    ...asked.origin,
  };
}

/**
 * Makes the replicas of a volume that is being created and declares it ready.
 * May run twice, also on two nodes at once: every step is idempotent.
 */
export async function finishCreation(
  context: NodeContext,
  created: VolumeRecord,
  request: Pick<CreateVolumeRequest__Output, 'preferred_nodes' | 'required'>,
): Promise<VolumeRecord> {
  return context.locks.run(created.id, lockWaitMs, async () => {
    let record = created;
    const failedNodes: string[] = [];
    for (let attempt = 1; ; attempt++) {
      if (record.lifecycle === 'ready') return record;
      const failed = await ensureReplicas(context, record);
      if (failed === undefined) break;
      failedNodes.push(failed.nodeId);
      if (attempt >= placementTries) throw failed.error;
      record = await replaceReplica(context, record, failed.nodeId, failedNodes, request).catch(
        () => {
          // No other node will do: what went wrong on this one is the answer.
          throw failed.error;
        },
      );
    }
    return context.volumes.update(record.id, (current) => {
      if (current.lifecycle !== 'creating') return undefined;
      // Another call put a replica elsewhere meanwhile; that one declares it ready.
      if (!sameReplicas(current, record)) {
        throw new PxError('aborted', `volume "${record.name}" is being created by another call`);
      }
      return { ...current, lifecycle: 'ready' };
    });
  });
}

async function ensureReplicas(
  context: NodeContext,
  record: VolumeRecord,
): Promise<{ nodeId: string; error: unknown } | undefined> {
  const results = await Promise.allSettled(
    record.replicas.map((replica) => ensureReplicaOn(context, record, replica)),
  );
  const index = results.findIndex((result) => result.status === 'rejected');
  const [replica, result] = [record.replicas[index], results[index]];
  if (replica === undefined || result?.status !== 'rejected') return undefined;
  return { nodeId: replica.nodeId, error: result.reason };
}

/**
 * Moves one replica to another node in the record, before the volume was ever
 * ready. What the failed node may have made is an orphan there: it is reported.
 */
async function replaceReplica(
  context: NodeContext,
  record: VolumeRecord,
  nodeId: string,
  failedNodes: readonly string[],
  request: Pick<CreateVolumeRequest__Output, 'preferred_nodes' | 'required'>,
): Promise<VolumeRecord> {
  const keep = record.replicas.filter((replica) => replica.nodeId !== nodeId);
  const state = await context.view.fresh();
  const nodes = placementNodes(state).map((node) =>
    failedNodes.includes(node.id) ? { ...node, alive: false } : node,
  );
  const placements = placeReplicas(nodes, {
    sizeBytes: record.sizeBytes,
    spec: { ...record.spec, replicas: 1 },
    preferredNodes: request.preferred_nodes,
    required: request.required.map((topology) => topology.segments),
    groupReplicas: groupReplicas(state, record.spec.group),
    existingNodes: keep.map((replica) => replica.nodeId),
    rules: placementRules(state, record),
  });
  context.logger.warn('a replica is placed elsewhere: its node failed to make it', {
    volume: record.id,
    nodeId,
  });
  const replicas = [...keep, ...placements.map((placement) => newReplica(placement, 'in_sync'))];
  return context.volumes.update(record.id, (current) => {
    if (current.lifecycle !== 'creating' || !sameReplicas(current, record)) {
      throw new PxError('aborted', `volume "${record.name}" is being created by another call`);
    }
    return { ...current, replicas };
  });
}

function sameReplicas(a: VolumeRecord, b: VolumeRecord): boolean {
  const ids = (record: VolumeRecord) => record.replicas.map((replica) => replica.id).join();
  return ids(a) === ids(b);
}
