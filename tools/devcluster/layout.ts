import { createHash } from 'node:crypto';
import path from 'node:path';

/**
 * Every name that a cluster gives to the kernel derives from its directory, so
 * that several clusters live side by side and `down` finds what is its own
 * without any memory but the directory's name.
 */
export interface ClusterLayout {
  readonly dir: string;
  readonly tag: string;
  readonly userSpace: boolean;
  readonly clusterId: string;
  readonly stateFile: string;
  /** The namespace that holds the bridge and etcd; '' in user space. */
  readonly hubNamespace: string;
  readonly hubAddress: string;
  readonly subnetBits: number;
  readonly etcdDir: string;
  readonly etcdUrl: string;
  readonly etcdPort: number;
}

export interface NodeLayout {
  readonly name: string;
  readonly index: number;
  readonly zone: string;
  readonly namespace: string;
  /** The bridge's end of the node's veth pair. */
  readonly veth: string;
  readonly address: string;
  readonly dir: string;
  readonly runDir: string;
  readonly dataDir: string;
  readonly configFile: string;
  readonly apiSocket: string;
  readonly csiSocket: string;
  /** Where a kubelet would stage and publish: below the node's directory. */
  readonly kubeletDir: string;
  readonly startPort: number;
}

/** Two environment variables mark every process of a cluster; children inherit them. */
export const tagVariable = 'PX_DEVCLUSTER_TAG';
export const nodeVariable = 'PX_DEVCLUSTER_NODE';

/** Linux allows 108 bytes for a socket's path; the longest of ours adds about 40. */
const maxDirLength = 64;

export function clusterLayout(directory: string, userSpace: boolean): ClusterLayout {
  const dir = path.resolve(directory);
  if (dir.length > maxDirLength) {
    throw new Error(
      `--dir ${dir} is too long for the unix sockets below it (${maxDirLength} at most)`,
    );
  }
  const digest = createHash('sha256').update(dir).digest();
  const tag = digest.toString('hex').slice(0, 6);
  const third = digest[3] ?? 0;
  // The loopback range of user space needs an address of its own per cluster
  // too, and not 127.0.x, where everything else on a machine lives.
  const prefix = userSpace ? `127.${64 + ((digest[4] ?? 0) % 128)}.${third}` : `10.211.${third}`;
  const hubAddress = `${prefix}.1`;
  return {
    dir,
    tag,
    userSpace,
    clusterId: `dev-${tag}`,
    stateFile: path.join(dir, 'cluster.json'),
    hubNamespace: userSpace ? '' : `px-${tag}-hub`,
    hubAddress,
    subnetBits: 24,
    etcdDir: path.join(dir, 'etcd'),
    etcdUrl: `http://${hubAddress}:2379`,
    etcdPort: 2379,
  };
}

export function nodeLayout(cluster: ClusterLayout, index: number, zones: number): NodeLayout {
  const name = `n${index}`;
  const dir = path.join(cluster.dir, name);
  const prefix = cluster.hubAddress.slice(0, cluster.hubAddress.lastIndexOf('.'));
  const runDir = path.join(dir, 'run');
  return {
    name,
    index,
    zone: `zone-${((index - 1) % zones) + 1}`,
    namespace: cluster.userSpace ? '' : `px-${cluster.tag}-${name}`,
    veth: `px${cluster.tag}${index}`,
    address: `${prefix}.${10 + index}`,
    dir,
    runDir,
    dataDir: path.join(dir, 'data'),
    configFile: path.join(dir, 'config.json'),
    apiSocket: path.join(runDir, 'px-node.sock'),
    csiSocket: path.join(runDir, 'csi.sock'),
    kubeletDir: path.join(dir, 'kubelet'),
    startPort: 9001,
  };
}
