import type { Hello, HelloReply, RefusalCode } from './messages.js';
import type { PlantedFaults } from './planted-faults.js';
import type { ReplicaMeta } from './ports.js';

/** Why a replica does not obey a coordinator, or undefined when it does (rule T2). */
export function refusalOf(
  hello: Hello,
  meta: ReplicaMeta,
  failed: boolean,
  faults: PlantedFaults,
): HelloReply | undefined {
  if (failed) return refusal(meta, 'store_failed', 'the store has failed');
  if (hello.clusterId !== meta.clusterId) {
    return refusal(meta, 'wrong_cluster', `this replica belongs to cluster ${meta.clusterId}`);
  }
  if (hello.volumeId !== meta.volumeId) {
    return refusal(meta, 'wrong_volume', `this replica belongs to volume ${meta.volumeId}`);
  }
  if (hello.replicaId !== meta.replicaId) {
    return refusal(meta, 'unknown_replica', `this replica is ${meta.replicaId}`);
  }
  const stranger = hello.epoch === meta.epoch && hello.token !== meta.token;
  if ((hello.epoch < meta.epoch || stranger) && !faults.has('no_fence')) {
    return refusal(meta, 'fenced', `epoch ${meta.epoch} has begun`);
  }
  return undefined;
}

export function refusal(meta: ReplicaMeta, code: RefusalCode, message: string): HelloReply {
  return { ok: false, code, message, epoch: meta.epoch };
}
