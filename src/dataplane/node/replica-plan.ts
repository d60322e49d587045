import { PxError } from '../../kernel/errors.js';
import type { ReplicaRecord, ReplicaWish, VolumeRecord } from '../../kernel/volume-record.js';
import type { ClusterState } from '../cluster/cluster-view.js';
import { placeReplicas, type Placement } from '../cluster/placement.js';
import { fulfilled, givenUp, stayingReplicas, withWish } from '../protocol/replica-wish.js';
import { groupReplicas, isClosed, placementNodes, placementRules } from './placement-input.js';
import { newReplica } from './replicas.js';

/** What the record of a volume becomes when its replicas are to lie elsewhere. Pure. */
export interface AskedReplicas {
  /** 0: as many as now. */
  readonly count: number;
  /** Ids of nodes that are to hold a replica, and of such that are not. */
  readonly add: readonly string[];
  readonly remove: readonly string[];
  readonly cause: ReplicaWish['cause'];
}

const mostReplicas = 5;
const unfilledAfterMs = 120_000;

/**
 * The record with the wish in it and its new replicas placed; undefined when
 * it is so already. Throws when it can't be: nothing half done is wished for.
 */
export function planWish(
  given: VolumeRecord,
  asked: AskedReplicas,
  state: ClusterState,
): VolumeRecord | undefined {
  // A wish stands in the record for a moment longer than there is anything to do for it.
  const record = fulfilled(given) ?? given;
  if (record.lifecycle !== 'ready') {
    throw new PxError('failed_precondition', `volume "${record.name}" is ${record.lifecycle}`);
  }
  const targetCount = countOf(record, asked);
  if (isAsAsked(record, asked, targetCount)) return undefined;
  if (record.replicaWish !== undefined) {
    throw new PxError(
      'failed_precondition',
      `the replicas of volume "${record.name}" are being changed already; wait, or cancel that ` +
        `("pxctl volume ha-update ${record.name} --cancel")`,
    );
  }
  const isHolder = (nodeId: string) => record.replicas.some((each) => each.nodeId === nodeId);
  const add = asked.add.filter((nodeId) => !isHolder(nodeId));
  const leaving = record.replicas.filter(({ nodeId }) => asked.remove.includes(nodeId));
  const staying = record.replicas.filter((replica) => !leaving.includes(replica));
  const surplus = staying.length + add.length - targetCount;
  const movable = staying.filter(({ nodeId }) => !asked.add.includes(nodeId));
  if (surplus > movable.length) {
    throw new PxError(
      'invalid_argument',
      `add_nodes: names ${asked.add.length} nodes for ${targetCount} replica(s)`,
    );
  }
  const removing = [
    ...leaving,
    ...mostDispensable(movable, record, state).slice(0, Math.max(0, surplus)),
  ];
  const wish = {
    targetCount,
    removing: removing.map(({ id }) => id),
    cause: asked.cause,
    blocked: '',
  };
  const wished = withWish(record, wish, []);
  const named = place(wished, state, add.length, add);
  const placed = withWish(record, wish, named);
  return withWish(
    placed,
    placed.replicaWish ?? wish,
    place(placed, state, Math.max(0, -surplus), []),
  );
}

function countOf(record: VolumeRecord, asked: AskedReplicas): number {
  const count =
    asked.count === 0 ? (record.replicaWish?.targetCount ?? record.spec.replicas) : asked.count;
  if (count >= 1 && count <= mostReplicas) return count;
  throw new PxError('invalid_argument', `count: must be 1 to ${mostReplicas}, and is ${count}`);
}

function isAsAsked(record: VolumeRecord, asked: AskedReplicas, targetCount: number): boolean {
  const staying = stayingReplicas(record).map(({ nodeId }) => nodeId);
  const wished = record.replicaWish?.targetCount ?? record.replicas.length;
  return (
    wished === targetCount &&
    asked.add.every((nodeId) => staying.includes(nodeId)) &&
    !asked.remove.some((nodeId) => staying.includes(nodeId))
  );
}

/** Those first whose loss is none, then those that crowd a zone; the user's own node last. */
function mostDispensable(
  replicas: readonly ReplicaRecord[],
  record: VolumeRecord,
  state: ClusterState,
): ReplicaRecord[] {
  const zoneOf = ({ nodeId }: ReplicaRecord) => state.nodes.get(nodeId)?.zone ?? '';
  const crowd = (replica: ReplicaRecord) =>
    record.replicas.filter((other) => zoneOf(other) === zoneOf(replica)).length;
  const rank = (replica: ReplicaRecord): number[] => [
    Number(replica.state === 'in_sync'),
    Number(state.alive.has(replica.nodeId)),
    Number(!isClosed(state, replica.nodeId)),
    Number(replica.nodeId === record.attachedOn),
    -crowd(replica),
  ];
  const ranked = replicas.map((replica) => ({ replica, rank: rank(replica) }));
  ranked.sort((a, b) => {
    const at = a.rank.findIndex((value, index) => value !== b.rank[index]);
    if (at >= 0) return (a.rank[at] ?? 0) - (b.rank[at] ?? 0);
    return a.replica.id < b.replica.id ? 1 : -1;
  });
  return ranked.map(({ replica }) => replica);
}

/** `nodes`: exactly these; none: wherever the volume's rules allow. */
function place(
  record: VolumeRecord,
  state: ClusterState,
  count: number,
  nodes: readonly string[],
): ReplicaRecord[] {
  if (count === 0) return [];
  const staying = stayingReplicas(record).map(({ nodeId }) => nodeId);
  const others = [...record.replicas, ...(record.leavers ?? [])].map(({ nodeId }) => nodeId);
  const candidates = placementNodes(state).map((node) => {
    // One that is to leave does not count for the spread, but its node can't hold another one yet.
    const leaves = others.includes(node.id) && !staying.includes(node.id);
    return leaves ? { ...node, maintenance: true } : node;
  });
  const { spec } = record;
  // The nodes that were named when the volume was made can't bind it for ever: one may be gone.
  // Zones, racks and regions are rules, and stay.
  const where =
    nodes.length === 0 ? { nodes: [] } : { nodes, zones: [], racks: [], bestEffortLocation: false };
  const placements: Placement[] = placeReplicas(candidates, {
    sizeBytes: record.sizeBytes,
    spec: { ...spec, ...where, replicas: count },
    preferredNodes: [...spec.nodes, ...nodesOfKin(record, state)],
    required: [],
    groupReplicas: groupReplicas(state, spec.group),
    existingNodes: staying,
    rules: placementRules(state, record),
  });
  return placements.map((placement) => newReplica(placement, 'out'));
}

/** A snapshot can be put back only where its volume has a replica in the same pool. */
function nodesOfKin(record: VolumeRecord, state: ClusterState): string[] {
  const kin = [...state.volumes.values()].filter(
    ({ id, parentId, readOnly }) =>
      (record.readOnly && id === record.parentId) || (readOnly && parentId === record.id),
  );
  return [...new Set(kin.flatMap(({ replicas }) => replicas.map(({ nodeId }) => nodeId)))];
}

/** When a replica is away for so long, another takes its place. */
export interface LossRules {
  readonly nowMs: number;
  readonly replaceReplicaAfterMs: number;
}

/** A node that is down, counted from when it last described itself; one that is gone for good at once. */
export function isLost(nodeId: string, state: ClusterState, rules: LossRules): boolean {
  if (state.alive.has(nodeId)) return false;
  const node = state.nodes.get(nodeId);
  if (node === undefined) return true;
  if (state.flags.get(nodeId)?.maintenance === true) return false;
  return rules.nowMs - Date.parse(node.updatedAt) > rules.replaceReplicaAfterMs;
}

/**
 * The next step of a wish that needs no coordinator; undefined when there is
 * none. Placing again what is missing, giving up what is not needed any more.
 */
export function nextStep(
  record: VolumeRecord,
  state: ClusterState,
  rules: LossRules,
): VolumeRecord | undefined {
  const { replicaWish: wish } = record;
  if (wish === undefined || record.lifecycle !== 'ready') return undefined;
  const unfilled = record.replicas.filter(
    ({ id, state: is }) => is === 'out' && wish.added.includes(id) && !wish.removing.includes(id),
  );
  const leaving = record.replicas.filter(({ id }) => wish.removing.includes(id));
  const isBack = leaving.length > 0 && leaving.every(({ state: is }) => is === 'in_sync');
  // The node came back before anything had taken its place.
  if (wish.cause === 'loss' && isBack && unfilled.length > 0) return givenUp(record);
  // It holds nothing yet, so that nothing is gained by waiting for its node.
  const soon = Math.min(rules.replaceReplicaAfterMs, unfilledAfterMs);
  const failed = unfilled.filter(({ nodeId }) =>
    isLost(nodeId, state, { ...rules, replaceReplicaAfterMs: soon }),
  );
  if (failed.length > 0) {
    const removing = [...wish.removing, ...failed.map(({ id }) => id)];
    return { ...record, replicaWish: { ...wish, removing } };
  }
  const missing = wish.targetCount - stayingReplicas(record).length;
  if (missing <= 0) return undefined;
  try {
    return withWish(record, { ...wish, blocked: '' }, place(record, state, missing, []));
  } catch (error) {
    const blocked = error instanceof Error ? error.message : String(error);
    return blocked === wish.blocked ? undefined : { ...record, replicaWish: { ...wish, blocked } };
  }
}
