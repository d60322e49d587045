import { PxError, toPxError } from '../../kernel/errors.js';
import type { VolumeRecord } from '../../kernel/volume-record.js';
import type { FencedReplica } from '../../gen/px/v1/FencedReplica.js';
import type { FenceNodeRequest__Output } from '../../gen/px/v1/FenceNodeRequest.js';
import type { FenceNodeResponse } from '../../gen/px/v1/FenceNodeResponse.js';
import type { FenceReplicasRequest__Output } from '../../gen/px/v1/FenceReplicasRequest.js';
import type { FenceReplicasResponse } from '../../gen/px/v1/FenceReplicasResponse.js';
import { delay } from '../../platform/monotonic.js';
import type { ClusterState } from '../cluster/cluster-view.js';
import type { NodeRecord } from '../cluster/node-record.js';
import type { NodeContext } from './context.js';
import { confirmed, isHeldBy, takenFrom, whyWithoutWitness, witnesses } from './fence-rules.js';
import { inParallel } from './in-parallel.js';
import { forwarded } from './peers.js';

/** Bounds what one call asks of etcd and of the disks. */
const atOnce = 16;
const fenceTimeoutMs = 15_000;
/** Clocks of two nodes may run at speeds that differ by as much (rule T6). */
const leaseSafety = 0.9;

/**
 * Ends whatever a node that seems dead has attached or reserved, so that it
 * cannot get a write acknowledged or a read answered any more (rule F1). Every
 * step stands in the volumes' records: called again, on any node, it goes on.
 */
export async function fenceNode(
  context: NodeContext,
  request: FenceNodeRequest__Output,
): Promise<FenceNodeResponse> {
  const state = await context.view.fresh();
  const node = requireNode(state, request.node_id);
  if (state.alive.has(node.id) && !request.force) {
    throw new PxError(
      'failed_precondition',
      `node ${node.name} is alive: its lease has not ended (force fences it all the same)`,
    );
  }
  const held = [...state.volumes.values()].filter((record) => isHeldBy(record, node.id));
  const report = new FenceReport();
  const records = await inParallel(held, atOnce, (record) =>
    context.volumes
      .update(record.id, (current) => takenFrom(current, node.id))
      .catch((error: unknown) => {
        if (toPxError(error).code !== 'not_found') report.remains(record, toPxError(error).message);
        return undefined;
      }),
  );
  const open = records.filter((record) => record !== undefined && isHeldBy(record, node.id));
  await confirmAll(context, node.id, open as VolumeRecord[], state, report);
  const after = await context.view.fresh();
  for (const record of after.volumes.values()) {
    if (record.fence?.nodeId === node.id && record.fence.confirmed) report.fenced.push(record.id);
  }
  if (held.length > 0) {
    context.logger.warn('a node was fenced', {
      ...{ nodeId: node.id, name: node.name, fenced: report.fenced.length },
      ...{ remaining: report.remaining, withoutReplica: report.withoutReplica },
    });
  }
  return {
    fenced: report.remaining.length === 0,
    fenced_volumes: report.fenced,
    remaining: report.remaining,
    without_replica: report.withoutReplica,
  };
}

class FenceReport {
  readonly fenced: string[] = [];
  readonly remaining: string[] = [];
  readonly withoutReplica: string[] = [];

  remains(record: VolumeRecord, reason: string): void {
    this.remaining.push(`${record.name}: ${reason}`);
  }
}

export function requireNode(state: ClusterState, idOrName: string): NodeRecord {
  const found = [...state.nodes.values()].find(
    ({ id, name }) => id === idOrName || name === idOrName,
  );
  if (found === undefined) throw new PxError('not_found', `there is no node "${idOrName}"`);
  return found;
}

/** Has the in-sync replicas obey the new epochs, and notes which volumes are safe by that. */
async function confirmAll(
  context: NodeContext,
  fencedId: string,
  records: readonly VolumeRecord[],
  state: ClusterState,
  report: FenceReport,
): Promise<void> {
  const byNode = new Map<string, VolumeRecord[]>();
  for (const record of records) {
    const nodeIds = witnesses(record, state);
    if (nodeIds.length === 0) {
      report.withoutReplica.push(`${record.name}: ${whyWithoutWitness(record, state)}`);
    }
    for (const nodeId of nodeIds) byNode.set(nodeId, [...(byNode.get(nodeId) ?? []), record]);
  }
  const answers = await Promise.all(
    [...byNode].map(([nodeId, volumes]) => askNode(context, nodeId, fencedId, volumes)),
  );
  const leases = answers.flat().filter(({ fenced }) => fenced === true);
  const longestMs = Math.max(0, ...leases.map((each) => Number(each.lease_remaining_ms)));
  await delay(longestMs / leaseSafety);
  const safe = new Set(leases.map(({ volume_id }) => volume_id));
  await inParallel(
    records.filter((record) => witnesses(record, state).length > 0),
    atOnce,
    async (record) => {
      if (!safe.has(record.id)) {
        const reasons = answers.flat().filter(({ volume_id }) => volume_id === record.id);
        report.remains(record, reasons.map(({ reason }) => reason).join('; '));
        return;
      }
      try {
        await context.volumes.update(record.id, (current) => confirmed(current, fencedId));
      } catch (error) {
        report.remains(record, toPxError(error).message);
      }
    },
  );
}

async function askNode(
  context: NodeContext,
  nodeId: string,
  fencedId: string,
  records: readonly VolumeRecord[],
): Promise<FencedReplica[]> {
  const request = { node_id: fencedId, volume_ids: records.map(({ id }) => id) };
  try {
    if (nodeId === context.self.id) return (await fenceReplicas(context, request)).replicas ?? [];
    const options = { timeoutMs: fenceTimeoutMs, metadata: forwarded };
    const { replicas } = await context.peers.api(nodeId).FenceReplicas(request, options);
    return replicas;
  } catch (error) {
    const reason = `the replica on ${nodeId} was not reached: ${toPxError(error).message}`;
    return records.map(({ id }) => ({ volume_id: id, fenced: false, reason }));
  }
}

/** This node's part: only what etcd says is fenced, so that a peer that is wrong ends nobody. */
export async function fenceReplicas(
  context: NodeContext,
  request: Pick<FenceReplicasRequest__Output, 'node_id' | 'volume_ids'>,
): Promise<FenceReplicasResponse> {
  const replicas = await inParallel(request.volume_ids, atOnce, async (volumeId) => {
    try {
      const leaseMs = await fenceOwnReplica(context, volumeId, request.node_id);
      return { volume_id: volumeId, fenced: true, lease_remaining_ms: leaseMs };
    } catch (error) {
      const reason = `${context.self.name}: ${toPxError(error).message}`;
      return { volume_id: volumeId, fenced: false, reason };
    }
  });
  return { replicas };
}

async function fenceOwnReplica(
  context: NodeContext,
  volumeId: string,
  fencedId: string,
): Promise<number> {
  const record = (await context.volumes.get(volumeId))?.record;
  const fence = record?.fence;
  const mine = record?.replicas.find(
    ({ nodeId, state }) => nodeId === context.self.id && state === 'in_sync',
  );
  if (fence?.nodeId !== fencedId || mine === undefined) {
    throw new PxError('failed_precondition', 'the record names no such fence or no replica here');
  }
  const { leaseRemainingMs } = await context.engine.call('replica.fence', {
    ...{ volumeId, replicaId: mine.id, epoch: fence.epoch, token: `fence-of-${fencedId}` },
  });
  return leaseRemainingMs;
}
