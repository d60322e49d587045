import { parseStorageClusterSpec, type StorageCluster } from '../../crds/storage-cluster.js';
import type { KubeNode } from './kubernetes-types.js';
import type { Observed } from './observed.js';

/** Inputs of the pure parts, for their tests: a small cluster that is as it should be. */

export function testNode(name: string, more: Partial<TestNode> = {}): KubeNode {
  const { labels = {}, taints = [], ready = true, address } = more;
  return {
    apiVersion: 'v1',
    kind: 'Node',
    metadata: { name, uid: `uid-${name}`, labels: { 'kubernetes.io/os': 'linux', ...labels } },
    spec: { taints },
    status: {
      addresses: [
        { type: 'Hostname', address: name },
        ...(address === '' ? [] : [{ type: 'InternalIP', address: address ?? addressOf(name) }]),
      ],
      conditions: [{ type: 'Ready', status: ready ? 'True' : 'False' }],
    },
  };
}

interface TestNode {
  readonly labels: Readonly<Record<string, string>>;
  readonly taints: readonly { key: string; value?: string; effect: string }[];
  readonly ready: boolean;
  readonly address: string;
}

/** node-3 has 10.0.0.3. */
function addressOf(name: string): string {
  return `10.0.0.${name.replace(/\D/g, '') || '99'}`;
}

export function testCluster(
  spec: unknown = {},
  more: Partial<StorageCluster> = {},
): StorageCluster {
  return {
    apiVersion: 'core.libopenstorage.org/v1',
    kind: 'StorageCluster',
    spec: parseStorageClusterSpec(spec),
    ...more,
    metadata: { name: 'px', namespace: 'portworx', uid: 'uid-px', ...more.metadata },
  };
}

export function testObserved(spec: unknown = {}, more: Partial<Observed> = {}): Observed {
  const cluster = more.cluster ?? testCluster(spec);
  const nodes = more.nodes ?? ['node-1', 'node-2', 'node-3'].map((name) => testNode(name));
  return {
    cluster,
    spec: cluster.spec,
    nodes,
    wipe: { forgotten: new Set(), waiting: [] },
    kubernetesUid: 'kubernetes-uid',
    kvdbReplaced: false,
    kvdbMembers: nodes.slice(0, 3).map(({ metadata: { name } }) => ({
      node: name,
      address: addressOf(name),
    })),
    kvdbSecret: undefined,
    snapshotApi: true,
    apiClusterIp: '10.96.0.7',
    defaultImage: 'openpx/px:1.0.0',
    ...more,
  };
}
