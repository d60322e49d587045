import { randomUUID } from 'node:crypto';
import type { ReplicaRecord, VolumeRecord } from '../../kernel/volume-record.js';
import type { Placement } from '../cluster/placement.js';
import type { NodeContext } from './context.js';
import { forwarded } from './peers.js';

const ensureTimeoutMs = 20_000;
const removeTimeoutMs = 10_000;

export function newReplica(placement: Placement, state: ReplicaRecord['state']): ReplicaRecord {
  return { id: randomUUID(), ...placement, state };
}

/** Has the replica's node make it, be that this node or another. */
export async function ensureReplicaOn(
  context: NodeContext,
  record: VolumeRecord,
  replica: ReplicaRecord,
): Promise<void> {
  const blank = replica.state === 'out';
  if (replica.nodeId === context.self.id) {
    await context.engine.call('replica.ensure', {
      volumeId: record.id,
      replicaId: replica.id,
      poolId: replica.poolId,
      sizeBytes: record.sizeBytes,
      blank,
    });
    return;
  }
  await context.peers.api(replica.nodeId).EnsureReplica(
    {
      volume_id: record.id,
      replica_id: replica.id,
      pool_id: replica.poolId,
      size_bytes: record.sizeBytes,
      needs_resync: blank,
    },
    { timeoutMs: ensureTimeoutMs, metadata: forwarded },
  );
}

/** Has the replica's node remove it, and drops it from the record of the deleted volume. */
export async function removeReplicaOn(
  context: NodeContext,
  record: VolumeRecord,
  replica: ReplicaRecord,
): Promise<void> {
  if (replica.nodeId === context.self.id) {
    await context.engine.call('replica.remove', { volumeId: record.id, replicaId: replica.id });
    await context.volumes.dropReplica(record.id, replica.id);
    return;
  }
  await context.peers
    .api(replica.nodeId)
    .RemoveReplica(
      { volume_id: record.id, replica_id: replica.id },
      { timeoutMs: removeTimeoutMs, metadata: forwarded },
    );
}
