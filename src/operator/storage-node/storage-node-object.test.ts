import { storageNodeStatus, type StorageNode } from '../../crds/storage-node.js';
import type { StorageCluster } from '../../crds/storage-cluster.js';
import type { NodeStatus__Output } from '../../gen/px/v1/NodeStatus.js';
import { desiredStorageNode, differs, type StorageNodeInput } from './storage-node-object.js';

const cluster = {
  apiVersion: 'core.libopenstorage.org/v1',
  kind: 'StorageCluster',
  metadata: { name: 'px', namespace: 'portworx', uid: 'c1' },
  spec: {},
} as unknown as StorageCluster;

function pool(id: string, total: number, used: number) {
  return {
    id,
    class: 'high',
    state: 'online',
    total_bytes: String(total),
    used_bytes: String(used),
  };
}

const gib = 1024 ** 3;

function px(over: object = {}): NodeStatus__Output {
  return {
    id: 'id-1',
    name: 'n1',
    version: '1.2.3',
    state: 'operational',
    state_reason: '',
    zone: 'z',
    region: 'r',
    rack: 'k',
    mgmt_address: '10.0.0.1:9002',
    data_address: '[fd00::1]:9003',
    pools: [pool('b', 100 * gib, 10 * gib), pool('a', 100 * gib, 5 * gib + 12_345)],
    drives: [{ path: '/dev/sdb', pool_id: 'a' }],
    config_hash: 'abc',
    kvdb_member: true,
    maintenance: false,
    decommission: '',
    ...over,
  } as unknown as NodeStatus__Output;
}

function input(over: Partial<StorageNodeInput> = {}): StorageNodeInput {
  return {
    cluster,
    observation: {
      name: 'n1',
      kubernetes: { ready: true, decommissioned: false, outOfService: false },
      pod: { ready: true, terminating: false, ageMs: 1, trouble: undefined },
      px: { state: 'operational', stateReason: '', maintenance: false, decommission: '' },
    },
    px: px(),
    internalKvdb: true,
    progress: { decommission: undefined, conditions: [] },
    before: undefined,
    timestamp: '2026-05-01T12:00:00Z',
    ...over,
  };
}

it('mirrors a node', () => {
  const node = desiredStorageNode(input());
  expect(node.metadata).toMatchObject({
    name: 'n1',
    namespace: 'portworx',
    ownerReferences: [{ kind: 'StorageCluster', name: 'px', uid: 'c1', controller: true }],
  });
  expect(node.spec).toEqual({ version: '1.2.3' });
  expect(node.status).toEqual({
    nodeUid: 'id-1',
    phase: 'Online',
    network: { dataIP: 'fd00::1', mgmtIP: '10.0.0.1' },
    storage: { totalSize: '200Gi', usedSize: '15Gi' },
    pools: [
      {
        id: 'a',
        class: 'high',
        status: 'online',
        totalSize: '100Gi',
        usedSize: '5Gi',
        devices: ['/dev/sdb'],
      },
      {
        id: 'b',
        class: 'high',
        status: 'online',
        totalSize: '100Gi',
        usedSize: '10Gi',
        devices: [],
      },
    ],
    geography: { region: 'r', zone: 'z', rack: 'k' },
    nodeAttributes: { storage: true, kvdb: true },
    configHash: 'abc',
    conditions: [
      { type: 'NodeInit', status: 'True', reason: 'Joined', message: '' },
      { type: 'NodeState', status: 'True', reason: 'Online', message: '' },
      { type: 'NodeKVDB', status: 'True', reason: 'Member', message: '' },
    ].map((condition) => ({ ...condition, lastTransitionTime: '2026-05-01T12:00:00Z' })),
  });
  expect(storageNodeStatus.parse(node.status)).toEqual(node.status);
});

const written = desiredStorageNode(input());

it('is not written again for a few bytes, for time, or for what the server adds', () => {
  const stored: StorageNode = {
    ...written,
    metadata: { ...written.metadata, resourceVersion: '5', annotations: { by: 'a person' } },
  };
  const later = desiredStorageNode(
    input({
      before: stored,
      px: px({ pools: [pool('a', 100 * gib, 5 * gib + 9_999), pool('b', 100 * gib, 10 * gib)] }),
      timestamp: '2026-05-01T13:00:00Z',
    }),
  );
  expect(differs(stored, later)).toBe(false);
});

it.each<[string, Partial<StorageNodeInput>]>([
  ['state', { observation: { ...input().observation, px: 'silent' }, px: undefined }],
  ['version', { px: px({ version: '2' }) }],
  ['use by more than a GiB', { px: px({ pools: [pool('a', 200 * gib, 20 * gib)] }) }],
])('is written when it changes: %s', (_, over) => {
  expect(differs(written, desiredStorageNode(input({ before: written, ...over })))).toBe(true);
});

it('keeps what is known of a node while px is silent, and the time of what did not change', () => {
  const silent = desiredStorageNode(
    input({
      before: written,
      px: undefined,
      observation: { ...input().observation, px: 'silent' },
      timestamp: '2026-05-01T13:00:00Z',
    }),
  );
  expect(silent.status).toMatchObject({ phase: 'Unknown', nodeUid: 'id-1', pools: [{}, {}] });
  expect(silent.status?.conditions).toMatchObject([
    { type: 'NodeInit', status: 'True', lastTransitionTime: '2026-05-01T12:00:00Z' },
    { type: 'NodeState', status: 'Unknown', lastTransitionTime: '2026-05-01T13:00:00Z' },
    { type: 'NodeKVDB', status: 'Unknown' },
  ]);
});

it.each([
  [true, px({ kvdb_member: false }), 'True', 'Client'],
  [false, px({ kvdb_member: false }), 'True', 'External'],
  [true, px({ state: 'kvdb_unavailable', state_reason: 'no majority' }), 'False', 'Unreachable'],
])('NodeKVDB with internal=%s', (internalKvdb, status, expected, reason) => {
  const { state, state_reason: stateReason, maintenance, decommission } = status;
  const seen = { state, stateReason, maintenance, decommission };
  const observation = { ...input().observation, px: seen };
  const node = desiredStorageNode(input({ internalKvdb, px: status, observation }));
  const condition = node.status?.conditions?.find(({ type }) => type === 'NodeKVDB');
  expect(condition).toMatchObject({ status: expected, reason });
});
