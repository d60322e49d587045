import type { VolumeRecord, VolumeSpecRecord } from '../../kernel/volume-record.js';
import type { Replica } from '../../gen/px/v1/Replica.js';
import type { ReplicaChange } from '../../gen/px/v1/ReplicaChange.js';
import type { Volume } from '../../gen/px/v1/Volume.js';
import type { VolumeSpec } from '../../gen/px/v1/VolumeSpec.js';
import type { ClusterState } from '../cluster/cluster-view.js';
import { stayingReplicas } from '../protocol/replica-wish.js';
import type { AttachedVolumeStatus } from '../engine/api.js';

/** A volume as the API shows it: its record, the nodes that live, and the coordinator's word. */
export function viewVolume(
  record: VolumeRecord,
  state: ClusterState,
  attached?: AttachedVolumeStatus,
): Volume {
  const userAttached = record.attachedOn !== '' && !isInternal(record, state);
  const { status, reason } = healthOf(record, state, attached);
  return {
    id: record.id,
    name: record.name,
    spec: viewSpec(record.spec, record.sizeBytes),
    created_at: record.createdAt,
    status,
    status_reason: reason,
    state: userAttached ? 'attached' : 'detached',
    epoch: record.epoch,
    attached_on: userAttached ? record.attachedOn : '',
    device_path: userAttached ? (attached?.devicePath ?? '') : '',
    published_on: record.reservedByAttach === true ? '' : record.publishedOn,
    published_read_only: record.publishedReadOnly,
    read_only: record.readOnly,
    parent_id: record.parentId,
    used_bytes: usedBytes(record, state),
    replicas: record.replicas.map((replica) => viewReplica(replica, state, attached)),
    stats: viewStats(attached),
    replica_change: viewChange(record),
  };
}

/** Attached by its node for work of its own. */
export function isInternal(record: VolumeRecord, state: ClusterState): boolean {
  return record.attachedOn !== '' && state.maintenance.get(record.id) === record.attachedOn;
}

function healthOf(
  record: VolumeRecord,
  state: ClusterState,
  attached: AttachedVolumeStatus | undefined,
): { status: string; reason: string } {
  if (record.lifecycle !== 'ready') return { status: record.lifecycle, reason: '' };
  // A replica that is still to be filled, or may go, makes nothing worse than it was.
  const { added = [] } = record.replicaWish ?? {};
  const counted = stayingReplicas(record).filter(
    ({ id, state: is }) => is === 'in_sync' || !added.includes(id),
  );
  const inSync = record.replicas.filter((replica) => replica.state === 'in_sync');
  const reachable = inSync.filter((replica) => state.alive.has(replica.nodeId));
  const nameOf = (nodeId: string) => state.nodes.get(nodeId)?.name ?? nodeId;
  if (reachable.length === 0) {
    const names = inSync.map((replica) => nameOf(replica.nodeId)).join(', ');
    return { status: 'down', reason: `no node with an in-sync replica is up (${names})` };
  }
  const away = counted.filter((replica) => !state.alive.has(replica.nodeId));
  const out = counted.filter(
    (replica) => replica.state === 'out' && state.alive.has(replica.nodeId),
  );
  const reasons = [
    ...away.map((replica) => `node ${nameOf(replica.nodeId)} is down`),
    ...out.map((replica) => {
      const why = attached?.replicas.find(({ replicaId }) => replicaId === replica.id)?.reason;
      const text = `the replica on ${nameOf(replica.nodeId)} is not in sync`;
      return why === undefined || why === '' ? text : `${text} (${why})`;
    }),
    ...(attached === undefined || attached.reason === '' ? [] : [attached.reason]),
  ];
  if (away.length + out.length > 0) return { status: 'degraded', reason: reasons.join('; ') };
  const wanted = Math.min(record.spec.replicas, record.replicaWish?.targetCount ?? Infinity);
  if (inSync.length < wanted) {
    const { length } = inSync;
    return { status: 'degraded', reason: `it has ${length} of ${record.spec.replicas} replicas` };
  }
  return { status: 'up', reason: reasons.join('; ') };
}

/** What a wish for other replicas has come to, for people to see; undefined without one. */
function viewChange(record: VolumeRecord): ReplicaChange | null {
  const { replicaWish: wish } = record;
  if (wish === undefined) return null;
  const nodesOf = (ids: readonly string[]) =>
    record.replicas.filter(({ id }) => ids.includes(id)).map(({ nodeId }) => nodeId);
  const filling = record.replicas.filter(
    ({ id, state }) => state === 'out' && wish.added.includes(id) && !wish.removing.includes(id),
  );
  const missing = wish.targetCount - stayingReplicas(record).length;
  const doing = missing > 0 ? 'placing' : filling.length > 0 ? 'filling' : 'removing';
  return {
    target_count: wish.targetCount,
    adding_nodes: filling.map(({ nodeId }) => nodeId),
    removing_nodes: nodesOf(wish.removing),
    state: wish.blocked === '' ? doing : 'blocked',
    reason: wish.blocked,
  };
}

function viewReplica(
  replica: VolumeRecord['replicas'][number],
  state: ClusterState,
  attached: AttachedVolumeStatus | undefined,
): Replica {
  const live = attached?.replicas.find((candidate) => candidate.replicaId === replica.id);
  const node = state.nodes.get(replica.nodeId);
  const resync = replica.state === 'out' && live?.state === 'resync';
  return {
    id: replica.id,
    node_id: replica.nodeId,
    pool_id: replica.poolId,
    state: resync ? 'resync' : replica.state,
    resync_bytes_done: resync ? live.resyncBytesDone : 0,
    resync_bytes_total: resync ? live.resyncBytesTotal : 0,
    zone: node?.zone ?? '',
    node_name: node?.name ?? replica.nodeId,
  };
}

function usedBytes(record: VolumeRecord, state: ClusterState): number {
  const used = record.replicas.map(
    (replica) => state.nodes.get(replica.nodeId)?.replicaUsage[record.id] ?? 0,
  );
  return Math.max(0, ...used);
}

function viewStats(attached: AttachedVolumeStatus | undefined): Volume['stats'] {
  const stats = attached?.stats;
  return {
    reads: stats?.reads ?? 0,
    writes: stats?.writes ?? 0,
    flushes: stats?.flushes ?? 0,
    discards: stats?.discards ?? 0,
    read_bytes: stats?.readBytes ?? 0,
    write_bytes: stats?.writeBytes ?? 0,
    in_flight: stats?.inFlight ?? 0,
  };
}

function viewSpec(spec: VolumeSpecRecord, sizeBytes: number): VolumeSpec {
  return {
    size_bytes: sizeBytes,
    replicas: spec.replicas,
    io_priority: spec.ioPriority,
    fs: spec.fs,
    block_size_bytes: spec.blockSizeBytes,
    nodes: [...spec.nodes],
    zones: [...spec.zones],
    racks: [...spec.racks],
    regions: [...spec.regions],
    best_effort_location: spec.bestEffortLocation,
    group: spec.group,
    group_enforced: spec.groupEnforced,
    sticky: spec.sticky,
    no_discard: spec.noDiscard,
    queue_depth: spec.queueDepth,
    labels: { ...spec.labels },
    io_profile: spec.ioProfile,
    aggregation_level: spec.aggregationLevel,
    storage_policy: spec.storagePolicy ?? '',
    max_read_iops: spec.limits?.readIops ?? 0,
    max_write_iops: spec.limits?.writeIops ?? 0,
    max_read_bytes_per_second: spec.limits?.readBytesPerSecond ?? 0,
    max_write_bytes_per_second: spec.limits?.writeBytesPerSecond ?? 0,
    snapshot_schedule: spec.snapshotSchedule ?? '',
  };
}
