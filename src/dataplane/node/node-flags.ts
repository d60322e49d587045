import { PxError } from '../../kernel/errors.js';
import type { NodeStatus } from '../../gen/px/v1/NodeStatus.js';
import type { SetMaintenanceRequest__Output } from '../../gen/px/v1/SetMaintenanceRequest.js';
import { delay, monotonicMs } from '../../platform/monotonic.js';
import { noFlags, parseNodeFlags, type NodeFlags } from '../cluster/node-flags.js';
import type { NodeContext } from './context.js';
import { requireNode } from './fence-node.js';
import { listNodes } from './node-status.js';

const changeTimeoutMs = 15_000;
const retryMs = 200;

/** Nothing new is placed on a node in maintenance, and what is there is not replaced meanwhile. */
export async function setMaintenance(
  context: NodeContext,
  request: SetMaintenanceRequest__Output,
): Promise<NodeStatus> {
  const node = requireNode(await context.view.fresh(), request.node_id);
  await changeFlags(context, node.id, (flags) => ({ ...flags, maintenance: request.enter }));
  return nodeStatus(context, node.id);
}

export async function nodeStatus(context: NodeContext, nodeId: string): Promise<NodeStatus> {
  const found = (await listNodes(context)).find(({ id }) => id === nodeId);
  if (found === undefined) throw new PxError('not_found', `there is no node "${nodeId}"`);
  return found;
}

export async function changeFlags(
  context: NodeContext,
  nodeId: string,
  change: (flags: NodeFlags) => NodeFlags,
): Promise<void> {
  const { kvdb, keys } = context;
  const key = keys.nodeFlags + nodeId;
  const endMs = monotonicMs() + changeTimeoutMs;
  for (;;) {
    const present = await kvdb.get(key);
    const before = present === undefined ? noFlags : parseNodeFlags(present.value);
    const value = JSON.stringify(change(before));
    if (value === JSON.stringify(before)) return;
    const compare = { key, modRevision: present?.modRevision ?? 0 };
    const { outcome } = await kvdb.txn([compare], [{ type: 'put', key, value }]);
    if (outcome === 'ok') return;
    if (monotonicMs() > endMs) {
      throw new PxError(
        'kvdb_unavailable',
        `node ${nodeId} could not be marked in time; try again`,
      );
    }
    await delay(retryMs);
  }
}
