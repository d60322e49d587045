import type { NodeStatus } from '../../gen/px/v1/NodeStatus.js';
import { noUse, type ClusterState } from '../cluster/cluster-state.js';
import type { NodePool, NodeRecord } from '../cluster/node-record.js';
import type { NodeContext } from './context.js';
import { storesNothing } from './pool-problems.js';

/** Of this node, from its own parts: right also while the kvdb is away. */
export async function ownStatus(context: NodeContext, published = true): Promise<NodeStatus> {
  const kvdb = context.kvdb.status();
  const record = await ownRecord(context);
  const state = context.view.cached();
  const kvdbGone = !kvdb.available;
  const own = published
    ? { state: record.state, state_reason: record.stateReason }
    : { state: 'initializing', state_reason: 'the node is joining the cluster' };
  const shown = kvdbGone
    ? {
        state: 'kvdb_unavailable',
        state_reason: `${kvdb.reason}; attached volumes go on, changes wait until it is back`,
      }
    : own;
  return {
    ...inMaintenance({ ...viewNode(record, state, context.self.clusterId), ...shown }),
    alerts: context.health.alerts().map((alert) => ({ ...alert })),
  };
}

/** What this node tells the others of itself. */
export async function ownRecord(context: NodeContext): Promise<NodeRecord> {
  const { self, config, pools } = context;
  const engineGone = await context.engine.call('volume.list', {}, 3_000).then(
    () => false,
    () => true,
  );
  const critical = context.health.alerts().find((alert) => alert.severity === 'critical');
  const problem = engineGone ? 'the engine does not answer' : (critical?.message ?? '');
  const storageless = storesNothing(pools) ? 'it stores nothing: no named device is here' : '';
  return {
    id: self.id,
    name: self.name,
    version: self.version,
    zone: config.zone,
    region: config.region,
    rack: config.rack,
    labels: config.labels,
    mgmtAddress: self.mgmtAddress,
    dataAddress: self.dataAddress,
    state: problem === '' ? 'operational' : 'degraded',
    stateReason: problem === '' ? storageless : problem,
    pools: pools.pools.map((pool) => ({
      id: pool.id,
      class: pool.class,
      kind: pool.kind,
      state: pool.state,
      snapshotMethod: pool.snapshotMethod,
      totalBytes: pool.totalBytes,
      usedBytes: pool.usedBytes,
      availableBytes: pool.availableBytes,
    })),
    drives: pools.drives.map(({ absent: _, ...drive }) => drive),
    replicaUsage: context.usage.latest(),
    updatedAt: new Date().toISOString(),
    kvdbMember: isKvdbMember(context),
    configHash: context.configHash,
    engineVersion: context.engineVersion(),
  };
}

function isKvdbMember({ config, self }: NodeContext): boolean {
  if (config.kvdb !== 'internal') return false;
  const { kvdbMembers: members } = config;
  const host = self.mgmtAddress.replace(/:\d+$/, '').replace(/^\[(.*)\]$/, '$1');
  return members.length === 0 || members.includes(host);
}

/** Every node that ever joined; those whose lease is over are offline. */
export async function listNodes(context: NodeContext): Promise<NodeStatus[]> {
  const state = await context.view.best();
  const nodes = [...state.nodes.values()].sort((a, b) => (a.name < b.name ? -1 : 1));
  return nodes.map((node) => {
    const viewed = viewNode(node, state, context.self.clusterId);
    if (state.alive.has(node.id)) return inMaintenance(viewed);
    return { ...viewed, state: 'offline', state_reason: 'its lease is over: it does not answer' };
  });
}

function viewNode(node: NodeRecord, state: ClusterState, clusterId: string): NodeStatus {
  return {
    id: node.id,
    name: node.name,
    cluster_id: clusterId,
    version: node.version,
    state: node.state,
    state_reason: node.stateReason,
    zone: node.zone,
    region: node.region,
    rack: node.rack,
    mgmt_address: node.mgmtAddress,
    data_address: node.dataAddress,
    pools: node.pools.map((pool) => viewPool(pool, state)),
    drives: node.drives.map((drive) => ({
      path: drive.path,
      id: drive.id,
      pool_id: drive.poolId,
      size_bytes: drive.sizeBytes,
      used_bytes: drive.usedBytes,
      class: drive.class,
      media: drive.media,
      state: drive.state,
      reason: drive.reason,
      read_bytes_per_second: Math.round(drive.readBytesPerSecond),
      read_iops: Math.round(drive.readIops),
    })),
    alerts: [],
    labels: node.labels,
    kvdb_member: node.kvdbMember,
    maintenance: state.flags.get(node.id)?.maintenance === true,
    decommission: decommissionState(node.id, state),
    config_hash: node.configHash,
    engine_version: node.engineVersion,
  };
}

/** A node that has a problem of its own shows that one. */
function inMaintenance(viewed: NodeStatus): NodeStatus {
  if (viewed.maintenance !== true || viewed.state !== 'operational') return viewed;
  return { ...viewed, state: 'maintenance', state_reason: 'nothing new is placed here' };
}

function decommissionState(nodeId: string, state: ClusterState): string {
  if ((state.flags.get(nodeId)?.decommission ?? '') === '') return '';
  return replicasOn(nodeId, state) > 0 ? 'moving' : 'done';
}

/** Replicas that lie there, those included whose content is still to be deleted. */
export function replicasOn(nodeId: string, state: Pick<ClusterState, 'volumes' | 'alive'>): number {
  const isDead = !state.alive.has(nodeId);
  let count = 0;
  for (const { lifecycle, replicas, leavers } of state.volumes.values()) {
    // What a dead node has still to delete is no reason to wait for it.
    if (isDead && lifecycle === 'deleting') continue;
    count += replicas.filter((replica) => replica.nodeId === nodeId).length;
    if (isDead) continue;
    count += leavers?.filter((leaver) => leaver.nodeId === nodeId).length ?? 0;
  }
  return count;
}

function viewPool(pool: NodePool, state: ClusterState) {
  const { provisionedBytes, replicas: replicaCount } = state.poolUse.get(pool.id) ?? noUse;
  return {
    id: pool.id,
    class: pool.class,
    total_bytes: pool.totalBytes,
    used_bytes: pool.usedBytes,
    available_bytes: pool.availableBytes,
    provisioned_bytes: provisionedBytes,
    snapshot_method: pool.snapshotMethod,
    state: pool.state,
    replica_count: replicaCount,
    kind: pool.kind,
  };
}
