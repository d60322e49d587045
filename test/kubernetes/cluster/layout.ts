import { createHash } from 'node:crypto';
import path from 'node:path';

/**
 * Every name and address of a cluster derives from its directory, so that
 * several clusters live side by side, and whoever cleans up needs no memory
 * but the directory's name.
 */
export interface ClusterLayout {
  readonly dir: string;
  readonly tag: string;
  /** Begins every network namespace and cgroup of the cluster. */
  readonly prefix: string;
  /** Nobody's number in particular: the control plane's. */
  readonly userId: number;
  readonly stateFile: string;
  readonly pkiDir: string;
  readonly logDir: string;
  readonly kubeconfig: string;
  /** The namespace that holds the bridge and the control plane. */
  readonly hubNamespace: string;
  readonly hubAddress: string;
  readonly apiServerUrl: string;
  /** Holds the nodes, the pods and the services. */
  readonly clusterCidr: string;
  readonly podCidr: string;
  readonly serviceCidr: string;
  /** The address of the Service `kubernetes`: the first of the range. */
  readonly serviceAddress: string;
  readonly dnsAddress: string;
}

export interface NodeLayout {
  readonly name: string;
  readonly index: number;
  readonly zone: string;
  readonly region: string;
  readonly namespace: string;
  /** The bridge's end of the node's veth pair. */
  readonly veth: string;
  readonly address: string;
  readonly podCidr: string;
  readonly gateway: string;
  readonly cgroup: string;
  readonly dir: string;
  /** What the node's processes see as `/`, but for what is mounted there. */
  readonly rootDir: string;
  readonly initFile: string;
  readonly bootIdFile: string;
}

/** They mark every process that the cluster starts on the machine; children inherit them. */
export const tagVariable = 'PXK_CLUSTER';
export const nodeVariable = 'PXK_NODE';
export const roleVariable = 'PXK_ROLE';

export const zones = 3;

export function clusterLayout(directory: string): ClusterLayout {
  const dir = path.resolve(directory);
  const digest = createHash('sha256').update(dir).digest();
  const tag = digest.toString('hex').slice(0, 6);
  const net = `10.${100 + ((digest[3] ?? 0) % 100)}`;
  return {
    dir,
    tag,
    prefix: `pxk-${tag}`,
    userId: 410_000 + digest.readUInt16BE(4),
    stateFile: path.join(dir, 'cluster.json'),
    pkiDir: path.join(dir, 'pki'),
    logDir: path.join(dir, 'logs'),
    kubeconfig: path.join(dir, 'admin.kubeconfig'),
    hubNamespace: `pxk-${tag}-hub`,
    hubAddress: `${net}.0.1`,
    apiServerUrl: `https://${net}.0.1:6443`,
    clusterCidr: `${net}.0.0/16`,
    podCidr: `${net}.64.0/18`,
    serviceCidr: `${net}.128.0/20`,
    serviceAddress: `${net}.128.1`,
    dnsAddress: `${net}.128.10`,
  };
}

export function nodeLayout(cluster: ClusterLayout, index: number): NodeLayout {
  const name = `node-${index}`;
  const net = cluster.hubAddress.split('.').slice(0, 2).join('.');
  const dir = path.join(cluster.dir, name);
  return {
    name,
    index,
    zone: `zone-${((index - 1) % zones) + 1}`,
    region: 'region-1',
    namespace: `${cluster.prefix}-n${index}`,
    veth: `${cluster.prefix}-v${index}`,
    address: `${net}.0.${10 + index}`,
    podCidr: `${net}.${64 + index}.0/24`,
    gateway: `${net}.${64 + index}.1`,
    cgroup: `${cluster.prefix}-n${index}`,
    dir,
    rootDir: path.join(dir, 'root'),
    initFile: path.join(dir, 'init.sh'),
    bootIdFile: path.join(dir, 'boot_id'),
  };
}

/** The path of a node's disk, the same on each node, as an administrator would name it. */
export function diskPath(number: number): string {
  return `/dev/disk/by-id/px-test-${number}`;
}
