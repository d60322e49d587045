import type { VolumeRecord } from '../../kernel/volume-record.js';
import { mayLeave, withoutReplica } from './replica-wish.js';

/**
 * Every way in which a coordinator changes its volume's record. Applying one
 * is pure, so that a compare-and-set that lost a race can be tried again on
 * what it lost to.
 */
export type RecordChange =
  | {
      readonly type: 'attach';
      readonly nodeId: string;
      readonly token: string;
      /** The epoch that the asker saw: a race between two attaches has one winner. */
      readonly seenEpoch: number;
    }
  | {
      readonly type: 'remove_in_sync';
      readonly epoch: number;
      readonly replicaIds: readonly string[];
    }
  | { readonly type: 'add_in_sync'; readonly epoch: number; readonly replicaId: string }
  /** A replica that etcd does not count on leaves the volume for good (rule P3). */
  | { readonly type: 'remove_replica'; readonly epoch: number; readonly replicaId: string }
  | { readonly type: 'detach'; readonly epoch: number };

export type ChangeResult =
  | { readonly result: 'changed'; readonly record: VolumeRecord }
  /** The record is already as asked. */
  | { readonly result: 'already' }
  /** A newer epoch, or another owner, stands in the record. */
  | { readonly result: 'fenced' }
  | { readonly result: 'refused'; readonly reason: string };

export function applyChange(record: VolumeRecord, change: RecordChange): ChangeResult {
  switch (change.type) {
    case 'attach':
      return attach(record, change);
    case 'remove_in_sync':
      return removeInSync(record, change);
    case 'add_in_sync':
      return addInSync(record, change);
    case 'remove_replica':
      return removeReplica(record, change);
    case 'detach':
      return detach(record, change.epoch);
  }
}

function attach(
  record: VolumeRecord,
  change: Extract<RecordChange, { type: 'attach' }>,
): ChangeResult {
  // The same attach seen twice: its transaction went through although its answer was lost.
  if (record.attachToken === change.token) return { result: 'already' };
  if (record.epoch !== change.seenEpoch) return { result: 'fenced' };
  if (record.lifecycle !== 'ready') {
    return { result: 'refused', reason: `the volume is ${record.lifecycle}` };
  }
  return {
    result: 'changed',
    record: {
      ...record,
      epoch: record.epoch + 1,
      attachedOn: change.nodeId,
      attachToken: change.token,
    },
  };
}

function removeInSync(
  record: VolumeRecord,
  change: Extract<RecordChange, { type: 'remove_in_sync' }>,
): ChangeResult {
  if (record.epoch !== change.epoch) return { result: 'fenced' };
  const leaving = record.replicas.filter(
    (replica) => replica.state === 'in_sync' && change.replicaIds.includes(replica.id),
  );
  if (leaving.length === 0) return { result: 'already' };
  const remaining = record.replicas.filter(
    (replica) => replica.state === 'in_sync' && !change.replicaIds.includes(replica.id),
  );
  // Without this no replica would be known to hold the acknowledged writes.
  if (remaining.length === 0)
    return { result: 'refused', reason: 'the last in-sync replica stays' };
  return {
    result: 'changed',
    record: withState(record, change.replicaIds, 'out'),
  };
}

function addInSync(
  record: VolumeRecord,
  change: Extract<RecordChange, { type: 'add_in_sync' }>,
): ChangeResult {
  if (record.epoch !== change.epoch) return { result: 'fenced' };
  const replica = record.replicas.find((candidate) => candidate.id === change.replicaId);
  if (replica === undefined) return { result: 'refused', reason: 'the replica was removed' };
  if (replica.state === 'in_sync') return { result: 'already' };
  return { result: 'changed', record: withState(record, [change.replicaId], 'in_sync') };
}

function removeReplica(
  record: VolumeRecord,
  change: Extract<RecordChange, { type: 'remove_replica' }>,
): ChangeResult {
  if (record.epoch !== change.epoch) return { result: 'fenced' };
  const replica = record.replicas.find((candidate) => candidate.id === change.replicaId);
  if (replica === undefined) return { result: 'already' };
  if (replica.state !== 'out') return { result: 'refused', reason: 'it is in sync' };
  // The wish may have been given up since the coordinator heard of it.
  if (!mayLeave(record, replica.id)) return { result: 'refused', reason: 'it is to stay' };
  return { result: 'changed', record: withoutReplica(record, replica) };
}

function detach(record: VolumeRecord, epoch: number): ChangeResult {
  if (record.epoch !== epoch) return { result: 'fenced' };
  if (record.attachedOn === '') return { result: 'already' };
  return { result: 'changed', record: { ...record, attachedOn: '', attachToken: '' } };
}

function withState(
  record: VolumeRecord,
  replicaIds: readonly string[],
  state: 'in_sync' | 'out',
): VolumeRecord {
  return {
    ...record,
    replicas: record.replicas.map((replica) =>
      replicaIds.includes(replica.id) ? { ...replica, state } : replica,
    ),
  };
}
