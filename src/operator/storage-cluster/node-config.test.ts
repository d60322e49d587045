import { parseStorageClusterSpec } from '../../crds/storage-cluster.js';
import { nodeConfig, type KvdbPlan } from './node-config.js';
import { testNode } from './testing-observed.js';

const internal: KvdbPlan = {
  kind: 'internal',
  replaced: false,
  members: [{ node: 'node-1', address: '10.0.0.1' }],
};

type Config = Record<string, unknown>;

function configOf(spec: unknown, node = testNode('node-2'), kvdb: KvdbPlan = internal): Config {
  return JSON.parse(nodeConfig(parseStorageClusterSpec(spec), 'cluster', kvdb, node)) as Config;
}

it('is whole without a word in the spec', () => {
  expect(configOf({})).toEqual({
    clusterid: 'cluster',
    name: 'node-2',
    kvdb: 'internal',
    kvdbMembers: ['10.0.0.1'],
    storage: { devices: [], useAll: true, force: false },
    zone: 'default',
    region: 'default',
    rack: 'default',
    labels: { 'kubernetes.io/os': 'linux' },
    startPort: 9001,
    addresses: { mgmt: '10.0.0.2' },
  });
});

it('is the same text for the same input, whatever the order of labels', () => {
  const spec = parseStorageClusterSpec({});
  const text = (labels: Record<string, string>) =>
    nodeConfig(spec, 'c', internal, testNode('node-1', { labels }));
  expect(text({ b: '1', a: '2' })).toBe(text({ a: '2', b: '1' }));
});

describe('devices', () => {
  const own = (storage: object) => ({ selector: { nodeName: 'node-2' }, storage });
  const cases: readonly [string, object, object][] = [
    ['nothing said: all', {}, { devices: [], useAll: true }],
    ['all', { storage: { useAll: true } }, { devices: [], useAll: true }],
    ['none', { storage: { useAll: false } }, { devices: [], useAll: false }],
    [
      'named devices win',
      { storage: { useAll: true, devices: ['/dev/sdb'] } },
      { devices: ['/dev/sdb'], useAll: false, devicesOptional: true },
    ],
    ['force', { storage: { forceUseDisks: true } }, { force: true, useAll: true }],
    [
      'a node with devices of its own does not take all',
      { storage: { useAll: true }, nodes: [own({ devices: ['/dev/sdc'] })] },
      { devices: ['/dev/sdc'], useAll: false },
    ],
    [
      'a node that takes all does not take the named ones',
      { storage: { devices: ['/dev/sdb'] }, nodes: [own({ useAll: true })] },
      { devices: [], useAll: true },
    ],
    [
      'a node without storage',
      { storage: { useAll: true }, nodes: [own({ useAll: false })] },
      { devices: [], useAll: false },
    ],
    [
      'what a node leaves out is inherited',
      { storage: { devices: ['/dev/sdb'] }, nodes: [own({ forceUseDisks: true })] },
      { devices: ['/dev/sdb'], useAll: false, force: true, devicesOptional: true },
    ],
    [
      "another node's entry is nothing to this one",
      {
        storage: { devices: ['/dev/sdb'] },
        nodes: [{ selector: { nodeName: 'node-1' }, storage: { devices: ['/dev/sdc'] } }],
      },
      { devices: ['/dev/sdb'] },
    ],
    [
      'the first entry that matches holds',
      {
        nodes: [
          {
            selector: { labelSelector: { matchLabels: { a: '1' } } },
            storage: { devices: ['/x'] },
          },
          own({ devices: ['/y'] }),
        ],
      },
      { devices: ['/x'] },
    ],
  ];
  it.each(cases)('%s', (_, spec, expected) => {
    const config = configOf(spec, testNode('node-2', { labels: { a: '1' } }));
    expect(config.storage).toMatchObject(expected);
  });

  it('may be lacking only where they are those of every node', () => {
    const nodes = [own({ devices: ['/dev/sdc'] })];
    const { storage } = configOf({ storage: { devices: ['/dev/sdb'] }, nodes });
    expect(storage).not.toHaveProperty('devicesOptional');
  });
});

it('passes interfaces on, and leaves the address to px-node then', () => {
  const config = configOf({ network: { mgmtInterface: 'eth0', dataInterface: 'eth1' } });
  expect(config).toMatchObject({ mgtiface: 'eth0', dataiface: 'eth1' });
  expect(config).not.toHaveProperty('addresses');
});

it('takes a place from the environment of a node before its labels', () => {
  const config = configOf(
    {
      nodes: [{ selector: { nodeName: 'node-2' }, env: [{ name: 'PWX_ZONE', value: 'attic' }] }],
    },
    testNode('node-2', { labels: { 'px/zone': 'cellar', 'px/rack': 'r7' } }),
  );
  expect(config).toMatchObject({ zone: 'attic', rack: 'r7' });
});

it('has no label that programs rewrite', () => {
  const labels = {
    'feature.node.kubernetes.io/cpu': 'x',
    'px/enabled': 'true',
    'topology.pxd.portworx.com/zone': 'z',
    team: 'a',
  };
  expect(configOf({}, testNode('node-2', { labels })).labels).toEqual({
    'kubernetes.io/os': 'linux',
    team: 'a',
  });
});

it('names files for what an external key-value store asks for, never the secret itself', () => {
  const external: KvdbPlan = {
    kind: 'external',
    endpoints: ['etcd:https://e:2379'],
    secretKeys: ['username', 'password', 'kvdb-ca.crt', 'something-else'],
  };
  const config = configOf({}, testNode('node-2'), external);
  expect(config).toMatchObject({
    kvdb: ['etcd:https://e:2379'],
    kvdbUsernameFile: '/etc/px-kvdb/username',
    kvdbPasswordFile: '/etc/px-kvdb/password',
    kvdbCaFile: '/etc/px-kvdb/kvdb-ca.crt',
  });
  expect(config).not.toHaveProperty('kvdbMembers');
});

it('takes runtime options, the node beating the cluster', () => {
  const config = configOf({
    runtimeOptions: { 'log-level': 'debug', 'io-threads': '2' },
    nodes: [{ selector: { nodeName: 'node-2' }, runtimeOptions: { 'io-threads': '4' } }],
  });
  expect(config).toMatchObject({ logLevel: 'debug', ioThreads: 4 });
});
