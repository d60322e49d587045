import type { VolumeRecord } from '../../kernel/volume-record.js';
import type { ClusterState } from '../cluster/cluster-view.js';

/** What FenceNode does to a volume's record, and what it concludes from it (rule F1). */

export function withoutReservation(record: VolumeRecord): VolumeRecord {
  const rest = { ...record, publishedOn: '', publishedReadOnly: false };
  delete rest.reservedByAttach;
  return rest;
}

/** Whether that node may have a coordinator of the volume that nothing has ended yet. */
export function isHeldBy(record: VolumeRecord, nodeId: string): boolean {
  if (record.lifecycle === 'deleting') return false;
  const unconfirmed = record.fence?.nodeId === nodeId && !record.fence.confirmed;
  return record.attachedOn === nodeId || record.publishedOn === nodeId || unconfirmed;
}

/**
 * The record without that node's attach and reservation, under a newer epoch;
 * undefined when it has neither. Where another node is attached already, its
 * own epoch has ended the older one, and raising it would end that one as well.
 */
export function takenFrom(record: VolumeRecord, nodeId: string): VolumeRecord | undefined {
  if (record.lifecycle === 'deleting') return undefined;
  const reserved = record.publishedOn === nodeId;
  if (record.attachedOn !== nodeId && !reserved) return undefined;
  const free = reserved ? withoutReservation(record) : record;
  if (record.attachedOn !== nodeId && record.attachedOn !== '') return free;
  const epoch = record.epoch + 1;
  return {
    ...free,
    epoch,
    attachedOn: '',
    attachToken: '',
    fence: { nodeId, epoch, confirmed: false },
  };
}

/** The record after a replica has confirmed the fence; undefined when it no longer stands there. */
export function confirmed(record: VolumeRecord, nodeId: string): VolumeRecord | undefined {
  const { fence } = record;
  if (fence?.nodeId !== nodeId || fence.confirmed) return undefined;
  return { ...record, fence: { ...fence, confirmed: true } };
}

/**
 * Nodes that can prove the fence: one in-sync replica that refuses is enough,
 * because the record's newer epoch keeps the older coordinator from having any
 * replica taken out, so that it needs the answer and the lease of each.
 */
export function witnesses(
  record: VolumeRecord,
  state: Pick<ClusterState, 'nodes' | 'alive'>,
): string[] {
  return record.replicas
    .filter((replica) => replica.state === 'in_sync' && state.alive.has(replica.nodeId))
    .map((replica) => replica.nodeId);
}

/** Why nobody can prove the fence of a volume, and nobody else can serve it. */
export function whyWithoutWitness(
  record: VolumeRecord,
  state: Pick<ClusterState, 'nodes' | 'alive'>,
): string {
  const names = record.replicas
    .filter((replica) => replica.state === 'in_sync')
    .map((replica) => state.nodes.get(replica.nodeId)?.name ?? replica.nodeId);
  return `its in-sync replicas are only on ${names.join(', ')}, which ${names.length === 1 ? 'is' : 'are'} down`;
}
