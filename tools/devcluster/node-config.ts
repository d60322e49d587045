import type { ClusterLayout, NodeLayout } from './layout.js';

export interface StorageChoice {
  /** Loop devices, or [] for a directory pool. */
  readonly devices: readonly string[];
  readonly directory: string;
}

/** Overrides for tests, merged over what `nodeConfig` writes. */
export type ConfigOverrides = Readonly<Record<string, unknown>>;

/** The px-node's config.json, in the shape that users write. */
export function nodeConfig(
  cluster: ClusterLayout,
  node: NodeLayout,
  storage: StorageChoice,
  overrides: ConfigOverrides,
): Record<string, unknown> {
  // On loopback every node has an address, and all share the interface.
  const networkInterface = cluster.userSpace ? node.address : 'eth0';
  return {
    clusterid: cluster.clusterId,
    name: node.name,
    mgtiface: networkInterface,
    dataiface: networkInterface,
    kvdb: [`etcd:${cluster.etcdUrl}`],
    storage:
      storage.devices.length > 0
        ? { devices: storage.devices }
        : { directories: [storage.directory] },
    zone: node.zone,
    region: 'region-1',
    rack: `rack-${node.index}`,
    dataDir: node.dataDir,
    runDir: node.runDir,
    startPort: node.startPort,
    ...overrides,
  };
}
