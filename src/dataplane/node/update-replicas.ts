import { PxError } from '../../kernel/errors.js';
import type { UpdateReplicasRequest__Output } from '../../gen/px/v1/UpdateReplicasRequest.js';
import type { Volume } from '../../gen/px/v1/Volume.js';
import type { CallContext } from '../../platform/grpc-server.js';
import { givenUp } from '../protocol/replica-wish.js';
import type { NodeContext } from './context.js';
import { governReplicas } from './governed-volume.js';
import { requireNode } from './fence-node.js';
import { getVolume } from './read-volumes.js';
import { planWish } from './replica-plan.js';

/**
 * Puts the wish, with its new replicas placed, into the volume's record: from
 * there on every part does its own, wherever the volume is attached.
 */
export async function updateReplicas(
  context: NodeContext,
  call: CallContext,
  request: UpdateReplicasRequest__Output,
): Promise<Volume> {
  const { record } = await context.volumes.require(request.id_or_name);
  const state = await context.view.fresh();
  if (request.cancel) {
    await context.volumes.update(record.id, (current) =>
      current.replicaWish === undefined ? undefined : givenUp(current),
    );
    return getVolume(context, call, record.id);
  }
  const idsOf = (names: readonly string[]) => names.map((name) => requireNode(state, name).id);
  const asked = {
    count: request.count,
    add: idsOf(request.add_nodes),
    remove: idsOf(request.remove_nodes),
    cause: 'asked',
  } as const;
  const both = asked.add.find((nodeId) => asked.remove.includes(nodeId));
  if (both !== undefined) {
    const name = state.nodes.get(both)?.name ?? both;
    throw new PxError('invalid_argument', `add_nodes: ${name} is in remove_nodes too`);
  }
  await governReplicas(context, record, request.count);
  const planned = await context.volumes.update(record.id, (current) =>
    planWish(current, asked, state),
  );
  context.logger.info('replicas are asked for', { volume: record.id, wish: planned.replicaWish });
  return getVolume(context, call, record.id);
}
