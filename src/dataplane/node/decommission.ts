import { PxError, toPxError } from '../../kernel/errors.js';
import type { CancelDecommissionRequest__Output } from '../../gen/px/v1/CancelDecommissionRequest.js';
import type { DecommissionNodeRequest__Output } from '../../gen/px/v1/DecommissionNodeRequest.js';
import type { DecommissionNodeResponse } from '../../gen/px/v1/DecommissionNodeResponse.js';
import type { NodeStatus } from '../../gen/px/v1/NodeStatus.js';
import type { ClusterState } from '../cluster/cluster-view.js';
import type { NodeRecord } from '../cluster/node-record.js';
import { fulfilled } from '../protocol/replica-wish.js';
import type { NodeContext } from './context.js';
import { fenceNode, requireNode } from './fence-node.js';
import { changeFlags, nodeStatus } from './node-flags.js';
import { replicasOn } from './node-status.js';
import { planWish } from './replica-plan.js';

/** Marks the node as one that is emptied; the replica mover of whichever node lives does the rest. */
export async function decommissionNode(
  context: NodeContext,
  request: DecommissionNodeRequest__Output,
): Promise<DecommissionNodeResponse> {
  const state = await context.view.fresh();
  const node = findNode(state, request.node_id);
  if (node === undefined) {
    if (await wasRemoved(context, request.node_id)) return done();
    throw new PxError('not_found', `there is no node "${request.node_id}"`);
  }
  const wanted = request.keep_node ? 'drain' : 'leave';
  await changeFlags(context, node.id, (flags) => ({ ...flags, decommission: wanted }));
  if (!request.keep_node && !state.alive.has(node.id)) {
    // Whoever removes a dead node wants what it had attached free.
    await fenceNode(context, { node_id: node.id, force: false });
  }
  // One look for both: what it shows to be done is done, and what goes later is told later.
  const marked = await context.view.fresh();
  await finishDecommission(context, marked);
  return progressOf(node, marked);
}

/** Replicas may be placed there again; those that were moved stay where they are. */
export async function cancelDecommission(
  context: NodeContext,
  request: CancelDecommissionRequest__Output,
): Promise<NodeStatus> {
  const node = requireNode(await context.view.fresh(), request.node_id);
  await changeFlags(context, node.id, (flags) => ({ ...flags, decommission: '' }));
  return nodeStatus(context, node.id);
}

function done(): DecommissionNodeResponse {
  return { state: 'done', replicas_left: 0, reasons: [] };
}

function findNode(state: ClusterState, idOrName: string): NodeRecord | undefined {
  return [...state.nodes.values()].find(({ id, name }) => id === idOrName || name === idOrName);
}

/** How far it is: `blocked` when nothing moves and something is left. */
export function progressOf(node: NodeRecord, state: ClusterState): DecommissionNodeResponse {
  if (!state.nodes.has(node.id)) return done();
  const replicasLeft = replicasOn(node.id, state);
  const reasons = [...volumeReasons(node, state), ...nodeReasons(node, state)];
  if (replicasLeft === 0 && reasons.length === 0) return done();
  const isMoving = [...state.volumes.values()].some(
    ({ replicaWish, replicas }) =>
      replicaWish?.blocked === '' &&
      replicas.some(({ id, nodeId }) => nodeId === node.id && replicaWish.removing.includes(id)),
  );
  const isStuck = reasons.length > 0 && !isMoving;
  return { state: isStuck ? 'blocked' : 'moving', replicas_left: replicasLeft, reasons };
}

/** Volumes whose replica can't leave the node, and why. */
function volumeReasons(node: NodeRecord, state: ClusterState): string[] {
  const reasons: string[] = [];
  for (const record of state.volumes.values()) {
    if (!record.replicas.some(({ nodeId }) => nodeId === node.id)) continue;
    if (record.lifecycle !== 'ready') continue;
    const reason = whyStuck(record, node, state);
    if (reason !== '') reasons.push(`volume ${record.name}: ${reason}`);
  }
  return reasons;
}

function whyStuck(
  record: Parameters<typeof planWish>[0],
  node: NodeRecord,
  state: ClusterState,
): string {
  const { replicaWish: wish } = fulfilled(record) ?? record;
  if (wish !== undefined) return wish.blocked;
  const hasSource = record.replicas.some(
    (replica) => replica.state === 'in_sync' && state.alive.has(replica.nodeId),
  );
  if (!hasSource) {
    return 'no node with an in-sync replica is up: bring one back, or delete the volume';
  }
  try {
    planWish(record, { count: 0, add: [], remove: [node.id], cause: 'drain' }, state);
    return '';
  } catch (error) {
    return toPxError(error).message;
  }
}

/** What else ties the node to the cluster. */
function nodeReasons(node: NodeRecord, state: ClusterState): string[] {
  if (state.flags.get(node.id)?.decommission !== 'leave') return [];
  const reasons: string[] = [];
  for (const { name, attachedOn, publishedOn, lifecycle } of state.volumes.values()) {
    if (lifecycle === 'deleting' || (attachedOn !== node.id && publishedOn !== node.id)) continue;
    reasons.push(`volume ${name}: is attached on or reserved for ${node.name}; end its use there`);
  }
  // One that is gone is no loss to etcd any more, be it replaced or not.
  if (node.kvdbMember && state.alive.has(node.id)) {
    reasons.push(
      `${node.name} is a member of the internal kvdb; make another node a member in its place first`,
    );
  }
  return reasons;
}

/** Forgets the nodes that are to leave and that nothing ties to the cluster any more. */
export async function finishDecommission(context: NodeContext, state: ClusterState): Promise<void> {
  for (const node of state.nodes.values()) {
    if (state.flags.get(node.id)?.decommission !== 'leave') continue;
    if (replicasOn(node.id, state) > 0 || nodeReasons(node, state).length > 0) continue;
    await removeNode(context, node);
  }
}

async function removeNode(context: NodeContext, node: NodeRecord): Promise<void> {
  const { kvdb, keys } = context;
  const value = JSON.stringify({ name: node.name, removedAt: new Date().toISOString() });
  // In one transaction, so that the node's daemon never finds itself unknown and joins again.
  const { outcome } = await kvdb.txn(
    [],
    [
      { type: 'put', key: keys.removedNodes + node.id, value },
      { type: 'delete', key: keys.node(node.id) },
      { type: 'delete', key: keys.nodeFlags + node.id },
    ],
  );
  if (outcome !== 'ok') {
    throw new PxError('kvdb_unavailable', `the kvdb did not confirm that ${node.name} was removed`);
  }
  context.logger.warn('a node was decommissioned', { nodeId: node.id, name: node.name });
}

async function wasRemoved(context: NodeContext, idOrName: string): Promise<boolean> {
  const { entries } = await context.kvdb.list(context.keys.removedNodes);
  return entries.some(({ key, value }) => {
    const { name } = JSON.parse(value) as { name?: string };
    return key === context.keys.removedNodes + idOrName || name === idOrName;
  });
}
