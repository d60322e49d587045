import type { VolumeRecord } from '../../kernel/volume-record.js';
import type { CheckNodeStopRequest__Output } from '../../gen/px/v1/CheckNodeStopRequest.js';
import type { CheckNodeStopResponse } from '../../gen/px/v1/CheckNodeStopResponse.js';
import type { ClusterState } from '../cluster/cluster-view.js';
import type { NodeRecord } from '../cluster/node-record.js';
import { stayingReplicas } from '../protocol/replica-wish.js';
import type { NodeContext } from './context.js';
import { requireNode } from './fence-node.js';

type Members = Pick<ClusterState, 'nodes' | 'alive' | 'volumes'>;

export interface StopVerdict {
  readonly safe: boolean;
  readonly reasons: readonly string[];
  readonly volumesAtRisk: readonly string[];
}

/** Whether a node may be stopped now, as etcd has it at this moment. */
export async function checkNodeStop(
  context: NodeContext,
  request: CheckNodeStopRequest__Output,
): Promise<CheckNodeStopResponse> {
  const state = await context.view.fresh();
  const node = requireNode(state, request.node_id);
  const { safe, reasons, volumesAtRisk } = judgeStop(state, node, request.engine_stays);
  return { safe, reasons: [...reasons], volumes_at_risk: [...volumesAtRisk] };
}

/**
 * With `engineStays` a volume that has a single replica goes on without its
 * px-node. One that has others must still have one of them: a pod that does
 * not come back soon must not be all that stands between it and a dead disk.
 */
export function judgeStop(state: Members, node: NodeRecord, engineStays: boolean): StopVerdict {
  if (!state.alive.has(node.id)) {
    return { safe: true, reasons: [`node ${node.name} is down already`], volumesAtRisk: [] };
  }
  const reasons: string[] = [];
  const volumesAtRisk: string[] = [];
  for (const record of state.volumes.values()) {
    const reason = volumeReason(record, state, node, engineStays);
    if (reason === undefined) continue;
    reasons.push(`volume ${record.name}: ${reason}`);
    volumesAtRisk.push(record.name);
  }
  const kvdb = kvdbReason(state, node, engineStays);
  if (kvdb !== undefined) reasons.push(kvdb);
  return { safe: reasons.length === 0, reasons, volumesAtRisk };
}

function volumeReason(
  record: VolumeRecord,
  state: Members,
  node: NodeRecord,
  engineStays: boolean,
): string | undefined {
  if (record.lifecycle !== 'ready') return undefined;
  const mine = record.replicas.find(({ nodeId }) => nodeId === node.id);
  if (mine === undefined) return undefined;
  const nameOf = (nodeId: string) => state.nodes.get(nodeId)?.name ?? nodeId;
  const filled = stayingReplicas(record).filter(
    ({ state: is, nodeId }) => is === 'out' && state.alive.has(nodeId),
  );
  if (filled.length > 0) {
    const names = filled.map(({ nodeId }) => nameOf(nodeId)).join(', ');
    return `its replica on ${names} is being brought up to date; wait until it is in sync`;
  }
  if (mine.state !== 'in_sync') return undefined;
  if (engineStays && record.replicas.length === 1 && record.spec.replicas === 1) return undefined;
  const others = record.replicas.filter(
    ({ state: is, nodeId }) => is === 'in_sync' && nodeId !== node.id && state.alive.has(nodeId),
  );
  if (others.length > 0) return undefined;
  return record.replicas.length === 1
    ? `${node.name} holds its only replica`
    : `${node.name} holds its only in-sync replica on a node that is up`;
}

/** A member may be away while a majority of all members, those that are down included, stays. */
function kvdbReason(state: Members, node: NodeRecord, engineStays: boolean): string | undefined {
  if (!node.kvdbMember) return undefined;
  const members = [...state.nodes.values()].filter(({ kvdbMember }) => kvdbMember);
  // A kvdb of one member is away whenever its node is: attached volumes go on.
  if (members.length === 1) {
    return engineStays ? undefined : `node ${node.name} is the only member of the internal kvdb`;
  }
  const staying = members.filter(({ id }) => id !== node.id && state.alive.has(id));
  if (staying.length > members.length / 2) return undefined;
  const down = members.filter(({ id }) => !state.alive.has(id)).map(({ name }) => name);
  return (
    `the internal kvdb would lose its majority: ${node.name} is one of its ` +
    `${members.length} members, and ${down.join(', ')} is down`
  );
}
