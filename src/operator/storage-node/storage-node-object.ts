import type { Condition } from '../../crds/condition.js';
import { pxApiGroup } from '../../crds/resources.js';
import type { StorageCluster } from '../../crds/storage-cluster.js';
import type { StorageNode, StorageNodeStatus } from '../../crds/storage-node.js';
import type { NodeStatus__Output } from '../../gen/px/v1/NodeStatus.js';
import { formatQuantityBytes } from '../../kernel/quantity.js';
import type { NodeProgress } from '../drain/plan-drain.js';
import { phaseOf, type NodeObservation, type PhaseAndReason } from './phase.js';

/** The StorageNode that should be, from what was observed. Pure. */
export interface StorageNodeInput {
  readonly cluster: StorageCluster;
  readonly observation: NodeObservation;
  /** px' last word on the node, maybe from before it fell silent. */
  readonly px: NodeStatus__Output | undefined;
  readonly internalKvdb: boolean;
  readonly progress: NodeProgress;
  readonly before: StorageNode | undefined;
  readonly timestamp: string;
}

export function desiredStorageNode(input: StorageNodeInput): StorageNode {
  const { cluster, observation, px } = input;
  return {
    apiVersion: `${pxApiGroup}/v1`,
    kind: 'StorageNode',
    metadata: {
      name: observation.name,
      ...(cluster.metadata.namespace === undefined
        ? {}
        : { namespace: cluster.metadata.namespace }),
      labels: {
        'app.kubernetes.io/name': 'px',
        'app.kubernetes.io/managed-by': 'px-operator',
        'px.io/cluster': cluster.metadata.name,
      },
      ownerReferences: [
        {
          apiVersion: `${pxApiGroup}/v1`,
          kind: 'StorageCluster',
          name: cluster.metadata.name,
          uid: cluster.metadata.uid ?? '',
          controller: true,
          blockOwnerDeletion: true,
        },
      ],
    },
    spec: px === undefined || px.version === '' ? {} : { version: px.version },
    status: desiredStatus(input),
  };
}

function desiredStatus(input: StorageNodeInput): StorageNodeStatus {
  const { px, progress, before } = input;
  const state = phaseOf(input.observation);
  const known = px === undefined ? keptStatus(before) : pxStatus(px);
  return {
    ...known,
    phase: state.phase,
    ...(state.reason === '' ? {} : { reason: state.reason }),
    ...(progress.decommission === undefined ? {} : { decommission: progress.decommission }),
    conditions: conditionsOf(input, state),
  };
}

/** What is known of a node does not change because px can't be asked about it. */
function keptStatus(before: StorageNode | undefined): StorageNodeStatus {
  const { nodeUid, network, storage, pools, geography, nodeAttributes, configHash } =
    before?.status ?? {};
  return Object.fromEntries(
    Object.entries({
      nodeUid,
      network,
      storage,
      pools,
      geography,
      nodeAttributes,
      configHash,
    }).filter(([, value]) => value !== undefined),
  );
}

function pxStatus(px: NodeStatus__Output): StorageNodeStatus {
  const sum = (field: 'total_bytes' | 'used_bytes'): number =>
    px.pools.reduce((bytes, pool) => bytes + Number(pool[field]), 0);
  return {
    nodeUid: px.id,
    network: { dataIP: hostOf(px.data_address), mgmtIP: hostOf(px.mgmt_address) },
    storage: { totalSize: size(sum('total_bytes')), usedSize: size(sum('used_bytes')) },
    pools: [...px.pools]
      .sort((a, b) => (a.id < b.id ? -1 : 1))
      .map((pool) => ({
        id: pool.id,
        class: pool.class,
        status: pool.state,
        totalSize: size(Number(pool.total_bytes)),
        usedSize: size(Number(pool.used_bytes)),
        devices: px.drives.filter(({ pool_id: id }) => id === pool.id).map(({ path }) => path),
      })),
    geography: { region: px.region, zone: px.zone, rack: px.rack },
    nodeAttributes: { storage: px.pools.length > 0, kvdb: px.kvdb_member },
    ...(px.config_hash === '' ? {} : { configHash: px.config_hash }),
  };
}

const mebibyte = 1024 ** 2;

/**
 * Rounded, so that not every megabyte that is written to a volume is written to
 * the API server's etcd, too: whole GiB, and 64 MiB for what is smaller.
 */
function size(bytes: number): string {
  const step = (bytes >= 16 * 1024 * mebibyte ? 1024 : 64) * mebibyte;
  return formatQuantityBytes(Math.round(bytes / step) * step);
}

/** The host of `host:port`; an IPv6 host stands in brackets. */
function hostOf(address: string): string {
  return address.replace(/:\d+$/, '').replace(/^\[(.*)\]$/, '$1');
}

type Wish = Pick<Condition, 'type' | 'status' | 'reason' | 'message'>;

function conditionsOf(input: StorageNodeInput, state: PhaseAndReason): Condition[] {
  const wishes = [initCondition(input, state), stateCondition(state), kvdbCondition(input)];
  const all: readonly Wish[] = [...wishes, ...input.progress.conditions];
  const before = input.before?.status?.conditions ?? [];
  return all.map((wish) => {
    const old = before.find(({ type }) => type === wish.type);
    const since = old?.status === wish.status ? old.lastTransitionTime : undefined;
    return { ...wish, lastTransitionTime: since ?? input.timestamp };
  });
}

function initCondition({ px, before }: StorageNodeInput, { reason }: PhaseAndReason): Wish {
  const joined = px !== undefined || before?.status?.nodeUid !== undefined;
  return {
    type: 'NodeInit',
    status: joined ? 'True' : 'False',
    reason: joined ? 'Joined' : 'NotJoined',
    message: joined ? '' : reason,
  };
}

/** Phases in which the node serves: a person need not look at it. */
const serving = ['Online', 'Updating', 'Maintenance'];

function stateCondition({ phase, reason }: PhaseAndReason): Wish {
  const status = phase === 'Unknown' ? 'Unknown' : serving.includes(phase) ? 'True' : 'False';
  return { type: 'NodeState', status, reason: phase, message: reason };
}

function kvdbCondition({ px, observation, internalKvdb }: StorageNodeInput): Wish {
  const own = observation.px;
  if (typeof own !== 'string' && own.state === 'kvdb_unavailable') {
    const message = own.stateReason;
    return { type: 'NodeKVDB', status: 'False', reason: 'Unreachable', message };
  }
  if (px === undefined || typeof own === 'string' || px.state === 'offline') {
    return { type: 'NodeKVDB', status: 'Unknown', reason: 'Unknown', message: '' };
  }
  const reason = px.kvdb_member ? 'Member' : internalKvdb ? 'Client' : 'External';
  return { type: 'NodeKVDB', status: 'True', reason, message: '' };
}

/** Whether applying it would change anything that a person or a program reads. */
export function differs(before: StorageNode | undefined, wanted: StorageNode): boolean {
  if (before === undefined) return true;
  return (
    canonical(before.spec ?? {}) !== canonical(wanted.spec ?? {}) ||
    canonical(before.status ?? {}) !== canonical(wanted.status ?? {}) ||
    Object.entries(wanted.metadata.labels ?? {}).some(
      ([key, value]) => before.metadata.labels?.[key] !== value,
    ) ||
    canonical(before.metadata.ownerReferences) !== canonical(wanted.metadata.ownerReferences)
  );
}

/** JSON with sorted keys and without what is absent: two servers may order them differently. */
function canonical(value: unknown): string {
  return JSON.stringify(value, (_, part: unknown) => {
    if (typeof part !== 'object' || part === null || Array.isArray(part)) return part;
    return Object.fromEntries(Object.entries(part).sort(([a], [b]) => (a < b ? -1 : 1)));
  });
}
