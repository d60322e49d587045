import { toPxError } from '../../kernel/errors.js';
import type { VolumeRecord } from '../../kernel/volume-record.js';
import type { NodeApi } from '../../platform/grpc-client.js';
import type { CallContext } from '../../platform/grpc-server.js';
import type { ClusterState } from '../cluster/cluster-view.js';
import type { NodeContext } from './context.js';
import { forwarded, forwardedHeader } from './peers.js';
import { refuseWhileServedElsewhere } from './served-elsewhere.js';

/**
 * The node that carries out an operation on a volume's content: where it is
 * attached, else this one if it has an in-sync replica, else one that has.
 */
export function coordinatorNode(record: VolumeRecord, state: ClusterState, selfId: string): string {
  if (record.attachedOn !== '' && state.alive.has(record.attachedOn)) return record.attachedOn;
  const inSync = record.replicas
    .filter((replica) => replica.state === 'in_sync' && state.alive.has(replica.nodeId))
    .map((replica) => replica.nodeId);
  return inSync.includes(selfId) ? selfId : (inSync[0] ?? selfId);
}

/** Runs `local` here, or `remote` on the node that coordinates the volume. */
export async function atCoordinator<T>(
  context: NodeContext,
  call: CallContext,
  record: VolumeRecord,
  local: () => Promise<T>,
  remote: (peer: NodeApi, options: typeof forwardOptions) => Promise<T>,
): Promise<T> {
  const here = async (): Promise<T> => {
    if (record.attachedOn !== '') await refuseWhileServedElsewhere(context, record.id);
    return local();
  };
  if (call.metadata(forwardedHeader) !== '') return here();
  const state = await context.view.fresh();
  const nodeId = coordinatorNode(record, state, context.self.id);
  if (nodeId === context.self.id) return here();
  try {
    return await remote(context.peers.api(nodeId), forwardOptions);
  } catch (thrown) {
    const error = toPxError(thrown);
    // A node that fell over just now still counts as alive, but need not hold up the others.
    if (error.code === 'unavailable' && record.attachedOn !== nodeId) return here();
    throw error;
  }
}

/** The asked node bounds the work itself; this only ends a call to one that froze. */
const forwardOptions = { metadata: forwarded, timeoutMs: 3_600_000 } as const;
