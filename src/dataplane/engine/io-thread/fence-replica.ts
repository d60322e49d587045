import { PxError } from '../../../kernel/errors.js';
import type { HelloReply } from '../../protocol/messages.js';
import type { EngineMethods } from '../api.js';
import type { ReplicaFinder, ReplicaRegistry, SessionOwner } from '../replica-registry.js';

export interface FenceReplicaDeps {
  readonly clusterId: string;
  readonly registry: ReplicaRegistry;
  readonly replicas: ReplicaFinder;
  readonly leaseMs: number;
}

type Fence = EngineMethods['replica.fence'];

/**
 * Says hello for a coordinator that never comes: what the replica persists
 * before it answers is all that is wanted of it (rules F1 and T2). To the next
 * coordinator it looks as if one had died right after its hello.
 */
export function fenceReplica(
  deps: FenceReplicaDeps,
  { volumeId, replicaId, epoch, token }: Fence['params'],
  done: (result: Fence['result'] | PxError) => void,
): void {
  const hello = {
    ...{ clusterId: deps.clusterId, volumeId, replicaId, epoch, token },
    leaseMs: deps.leaseMs,
    previousOwnerDead: false,
  };
  const replica = deps.replicas.find(hello);
  if (replica === undefined) {
    throw new PxError('not_found', `there is no replica of volume ${volumeId} here`);
  }
  let answered = false;
  const answer = (result: Fence['result'] | PxError): void => {
    if (!answered) done(result);
    answered = true;
  };
  const owner: SessionOwner = {
    onHelloReply: (reply) => {
      answer(resultOf(reply, epoch, deps.leaseMs));
      deps.registry.end(session);
      if (reply.ok) replica.closeSession(session);
    },
    onReply: () => undefined,
    onControlReply: () => undefined,
    onDropped: () => answer(new PxError('unavailable', 'the replica was closed meanwhile')),
  };
  const session = deps.registry.begin(owner, volumeId);
  replica.hello(session, hello);
}

function resultOf(reply: HelloReply, epoch: number, leaseMs: number): Fence['result'] | PxError {
  if (reply.ok) return { leaseRemainingMs: Math.ceil(reply.leaseRemainingMs) };
  // A newer coordinator was here already; what it waits for of the older one's lease is not told.
  if (reply.code === 'fenced' && reply.epoch >= epoch) return { leaseRemainingMs: leaseMs };
  return new PxError('unavailable', `the replica refuses: ${reply.message}`);
}
