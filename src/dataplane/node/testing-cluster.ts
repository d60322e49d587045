import type { ReplicaRecord, VolumeRecord } from '../../kernel/volume-record.js';
import { changedUse, type ClusterState } from '../cluster/cluster-state.js';
import type { NodeRecord } from '../cluster/node-record.js';

/** Clusters for tests of what is decided from etcd's content alone. */

export function testNode(id: string, changes: Partial<NodeRecord> = {}): NodeRecord {
  return {
    ...{ id, name: `name-${id}`, version: '1', zone: `zone-${id}`, region: 'r', rack: 'k' },
    ...{ labels: {}, mgmtAddress: `${id}:9002`, dataAddress: `${id}:9003` },
    ...{ state: 'operational', stateReason: '', drives: [], replicaUsage: {} },
    pools: [testPool(`${id}-pool`)],
    updatedAt: '2030-01-01T00:00:00.000Z',
    ...{ kvdbMember: false, configHash: '', engineVersion: '' },
    ...changes,
  };
}

function testPool(id: string): NodeRecord['pools'][number] {
  const bytes = 1024 ** 4;
  return {
    ...{ id, class: 'medium', kind: 'device', state: 'online', snapshotMethod: 'reflink' },
    ...{ totalBytes: bytes, usedBytes: 0, availableBytes: bytes },
  };
}

/** `replicas` like `a`, `b:out`: node ids, in sync unless they say otherwise. */
export function testVolume(
  id: string,
  replicas: readonly string[],
  changes: Partial<VolumeRecord> = {},
): VolumeRecord {
  return {
    ...{ id, name: `name-${id}`, lifecycle: 'ready', sizeBytes: 1024 ** 3 },
    ...{ createdAt: '2030-01-01T00:00:00.000Z', readOnly: false, parentId: '', epoch: 3 },
    ...{ attachedOn: '', attachToken: '', publishedOn: '', publishedReadOnly: false },
    replicas: replicas.map((text) => testReplica(id, text)),
    spec: {
      ...{ replicas: replicas.length, ioPriority: 'medium', fs: 'ext4', blockSizeBytes: 4096 },
      ...{ nodes: [], zones: [], racks: [], regions: [], bestEffortLocation: false, group: '' },
      ...{ groupEnforced: false, sticky: false, noDiscard: false, queueDepth: 128 },
      ...{ ioProfile: 'auto', aggregationLevel: 1, labels: {} },
    },
    ...changes,
  };
}

export function testReplica(volumeId: string, text: string): ReplicaRecord {
  const [nodeId = '', state = 'in_sync'] = text.split(':');
  const isOut = state === 'out';
  return {
    ...{ id: `${volumeId}-${nodeId}`, nodeId, poolId: `${nodeId}-pool` },
    state: isOut ? 'out' : 'in_sync',
  };
}

/** Nodes whose id is in `down` have no lease. */
export function testState(
  nodes: readonly NodeRecord[],
  volumes: readonly VolumeRecord[],
  down: readonly string[] = [],
): ClusterState {
  return {
    nodes: new Map(nodes.map((node) => [node.id, node])),
    alive: new Set(nodes.map(({ id }) => id).filter((id) => !down.includes(id))),
    volumes: new Map(volumes.map((volume) => [volume.id, volume])),
    poolUse: changedUse(new Map(), new Map(), new Map(volumes.map((one) => [one.id, one]))),
    maintenance: new Map(),
    policies: new Map(),
    flags: new Map(),
    readAtMs: 1,
  };
}
