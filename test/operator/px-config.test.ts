import { buildPlan } from '../../src/operator/storage-cluster/build-plan.js';
import {
  testCluster,
  testNode,
  testObserved,
} from '../../src/operator/storage-cluster/testing-observed.js';
import { parseConfig, type NodeConfig } from '../../src/dataplane/node/config.js';

/**
 * The operator writes what px-node reads; the two programs share no code, so
 * here each form that the operator can write goes through px-node's own check.
 */
function parsed(spec: unknown, secretKeys: readonly string[] = []): NodeConfig {
  const labels = { 'topology.kubernetes.io/zone': 'zone-a', 'px/rack': 'r1', team: 'x' };
  const observed = testObserved(spec, {
    cluster: testCluster(spec),
    nodes: ['node-1', 'node-2', 'node-3'].map((name) => testNode(name, { labels })),
    kvdbSecret: {
      ...{ apiVersion: 'v1', kind: 'Secret', metadata: { name: 'auth' } },
      data: Object.fromEntries(secretKeys.map((key) => [key, 'eA=='])),
    },
  });
  const text = buildPlan(observed)?.nodeConfigs['node-2.json'];
  if (text === undefined) throw new Error('node-2 has no configuration');
  return parseConfig(text, 'node-2.json', {});
}

it('is read by px-node with nothing said', () => {
  expect(parsed({})).toMatchObject({
    name: 'node-2',
    kvdb: 'internal',
    kvdbMembers: ['10.0.0.1', '10.0.0.2', '10.0.0.3'],
    storage: { useAll: true, devices: [] },
    zone: 'zone-a',
    rack: 'r1',
    addresses: { mgmt: '10.0.0.2' },
    labels: { team: 'x' },
  });
});

it('is read by px-node with everything said', () => {
  const spec = {
    storage: { devices: ['/dev/sdb', '/dev/sdc'], forceUseDisks: true },
    network: { dataInterface: 'eth1', mgmtInterface: 'eth0' },
    startPort: 12_001,
    runtimeOptions: {
      'io-threads': '4',
      'log-level': 'debug',
      'resync-mib-per-second': '50',
      'timing-replica-timeout-ms': '6000',
    },
    kvdb: { endpoints: ['etcd:https://a:2379', 'etcd:https://b:2379'], authSecret: 'auth' },
  };
  const keys = ['username', 'password', 'kvdb-ca.crt', 'kvdb.crt', 'kvdb.key'];
  expect(parsed(spec, keys)).toMatchObject({
    storage: { devices: [{ path: '/dev/sdb' }, { path: '/dev/sdc' }], force: true },
    dataiface: 'eth1',
    mgtiface: 'eth0',
    startPort: 12_001,
    ioThreads: 4,
    logLevel: 'debug',
    timing: { resyncBytesPerSecond: 50 * 1024 * 1024, replicaTimeoutMs: 6000 },
    kvdb: ['etcd:https://a:2379', 'etcd:https://b:2379'],
    kvdbUsernameFile: '/etc/px-kvdb/username',
    kvdbPasswordFile: '/etc/px-kvdb/password',
    kvdbCaFile: '/etc/px-kvdb/kvdb-ca.crt',
    kvdbCertFile: '/etc/px-kvdb/kvdb.crt',
    kvdbKeyFile: '/etc/px-kvdb/kvdb.key',
  });
});
