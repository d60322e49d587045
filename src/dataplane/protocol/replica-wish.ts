import type { ReplicaRecord, ReplicaWish, VolumeRecord } from '../../kernel/volume-record.js';

/**
 * What a wish for other replicas means for a record. Pure: coordinators, nodes
 * and the simulation decide by the same functions (rules P1 to P4).
 */

/** The replicas that no wish wants away. */
export function stayingReplicas(record: VolumeRecord): ReplicaRecord[] {
  const { replicaWish: wish } = record;
  return record.replicas.filter((replica) => wish?.removing.includes(replica.id) !== true);
}

/**
 * The record with a wish. New replicas are out: nobody counts on them before
 * their resync has compared everything, so that this needs no coordinator.
 */
export function withWish(
  record: VolumeRecord,
  wish: Omit<ReplicaWish, 'added'>,
  added: readonly ReplicaRecord[],
): VolumeRecord {
  const before = record.replicaWish?.added ?? [];
  return {
    ...record,
    replicas: [
      ...record.replicas,
      ...added.map((replica) => ({ ...replica, state: 'out' as const })),
    ],
    replicaWish: { ...wish, added: [...before, ...added.map(({ id }) => id)] },
  };
}

/** The record whose wish was given up: what was filled stays, what was not leaves. */
export function givenUp(record: VolumeRecord): VolumeRecord {
  const { replicaWish: wish, ...rest } = record;
  if (wish === undefined) return record;
  const unfilled = record.replicas.filter(({ id }) => isUnfilled(record, id)).map(({ id }) => id);
  const targetCount = record.replicas.length - unfilled.length;
  const spec = { ...record.spec, replicas: targetCount };
  if (unfilled.length === 0) return { ...rest, spec };
  return { ...rest, spec, replicaWish: { ...wish, targetCount, removing: unfilled, blocked: '' } };
}

/**
 * Whether enough others are in sync for this one to leave. One that the wish
 * itself brought and that was not filled never was anything to rely on.
 */
export function mayLeave(record: VolumeRecord, replicaId: string): boolean {
  const { replicaWish: wish } = record;
  if (wish?.removing.includes(replicaId) !== true) return false;
  if (isUnfilled(record, replicaId)) return true;
  const inSync = stayingReplicas(record).filter(({ state }) => state === 'in_sync');
  return inSync.length >= wish.targetCount;
}

function isUnfilled(record: VolumeRecord, replicaId: string): boolean {
  const replica = record.replicas.find(({ id }) => id === replicaId);
  return replica?.state === 'out' && record.replicaWish?.added.includes(replicaId) === true;
}

export function withoutReplica(record: VolumeRecord, replica: ReplicaRecord): VolumeRecord {
  const { id, nodeId, poolId } = replica;
  const { replicaWish: wish } = record;
  const without = (ids: readonly string[]) => ids.filter((other) => other !== id);
  return {
    ...record,
    replicas: record.replicas.filter((other) => other.id !== id),
    leavers: [...(record.leavers ?? []), { id, nodeId, poolId }],
    ...(wish === undefined
      ? {}
      : {
          replicaWish: { ...wish, removing: without(wish.removing), added: without(wish.added) },
        }),
  };
}

/** The record without a fulfilled wish; undefined while there is none, or it is not fulfilled. */
export function fulfilled(record: VolumeRecord): VolumeRecord | undefined {
  const { replicaWish: wish, ...rest } = record;
  if (wish === undefined || wish.removing.length > 0) return undefined;
  if (record.replicas.length !== wish.targetCount) return undefined;
  if (wish.added.some((id) => isUnfilled(record, id))) return undefined;
  return { ...rest, spec: { ...record.spec, replicas: wish.targetCount } };
}

/**
 * What a coordinator can do for the replicas as they are: fill one that is out,
 * or let one leave. `isUp`: the replica's node lives.
 */
export function coordinatorHasWork(
  record: VolumeRecord,
  isUp: (replica: ReplicaRecord) => boolean,
): boolean {
  const upInSync = stayingReplicas(record).filter(
    (replica) => replica.state === 'in_sync' && isUp(replica),
  );
  const removing = record.replicaWish?.removing ?? [];
  const enough = upInSync.length >= (record.replicaWish?.targetCount ?? Infinity);
  return record.replicas.some((replica) => {
    if (!removing.includes(replica.id)) return replica.state === 'out' && isUp(replica);
    if (enough || isUnfilled(record, replica.id)) return true;
    return replica.state === 'out' && isUp(replica);
  });
}
