import { readdir, stat } from 'node:fs/promises';
import { run, tryRun } from '../../../tools/lib/run.js';
import type { ClusterLayout, NodeLayout } from './layout.js';

/**
 * The cluster's own Ethernet: a bridge in a namespace of its own, with the
 * control plane beside it, and a namespace a node on a veth pair. The
 * machine's own namespace is not touched, and nothing has a route out.
 */
const bridge = 'br0';
const ip = (args: readonly string[]): Promise<string> => run('ip', args, { timeoutMs: 10_000 });

const inNamespace = (name: string, command: string, args: readonly string[]) =>
  run('nsenter', [`--net=/run/netns/${name}`, '--', command, ...args], { timeoutMs: 10_000 });

/** These settings belong to a network namespace, not to the machine. */
async function setSysctls(namespace: string, settings: readonly string[]): Promise<void> {
  await inNamespace(namespace, 'sysctl', ['-q', '-w', ...settings]);
}

export async function makeHub(cluster: ClusterLayout, nodes: readonly NodeLayout[]): Promise<void> {
  const ns = cluster.hubNamespace;
  await ip(['netns', 'add', ns]);
  await ip(['-n', ns, 'link', 'set', 'lo', 'up']);
  await ip(['-n', ns, 'link', 'add', bridge, 'type', 'bridge', 'forward_delay', '0']);
  await ip(['-n', ns, 'addr', 'add', `${cluster.hubAddress}/24`, 'dev', bridge]);
  await ip(['-n', ns, 'link', 'set', bridge, 'up']);
  // The API server calls webhooks and aggregated APIs in pods.
  for (const node of nodes) {
    await ip(['-n', ns, 'route', 'add', node.podCidr, 'via', node.address]);
  }
}

/** One more machine beside the control plane; it goes with the hub. */
export async function addAddress(cluster: ClusterLayout, address: string): Promise<void> {
  await ip(['-n', cluster.hubNamespace, 'addr', 'replace', `${address}/24`, 'dev', bridge]);
}

/** A node that comes later: the others learn the way to its pods. Its own routes it makes itself. */
export async function addRoutes(
  cluster: ClusterLayout,
  node: NodeLayout,
  peers: readonly NodeLayout[],
): Promise<void> {
  for (const namespace of routers(cluster, node, peers)) {
    await ip(['-n', namespace, 'route', 'replace', node.podCidr, 'via', node.address]);
  }
}

export async function removeRoutes(
  cluster: ClusterLayout,
  node: NodeLayout,
  peers: readonly NodeLayout[],
): Promise<void> {
  for (const namespace of routers(cluster, node, peers)) {
    await ip(['-n', namespace, 'route', 'del', node.podCidr]);
  }
}

function routers(cluster: ClusterLayout, node: NodeLayout, peers: readonly NodeLayout[]): string[] {
  const others = peers.filter(({ index }) => index !== node.index);
  return [cluster.hubNamespace, ...others.map(({ namespace }) => namespace)];
}

export async function makeNodeNetwork(
  cluster: ClusterLayout,
  node: NodeLayout,
  peers: readonly NodeLayout[],
): Promise<void> {
  const ns = node.namespace;
  await ip(['netns', 'add', ns]);
  await ip(['-n', ns, 'link', 'set', 'lo', 'up']);
  await ip([
    ...['-n', cluster.hubNamespace, 'link', 'add', node.veth, 'type', 'veth'],
    // The same after a restart: the neighbours' caches stay true.
    ...['peer', 'name', 'eth0', 'address', `02:70:78:00:00:0${node.index}`, 'netns', ns],
  ]);
  await ip(['-n', cluster.hubNamespace, 'link', 'set', node.veth, 'master', bridge, 'up']);
  await ip(['-n', ns, 'addr', 'add', `${node.address}/24`, 'dev', 'eth0']);
  await ip(['-n', ns, 'link', 'set', 'eth0', 'up']);
  // A connection to a service's address is routed before kube-proxy's rules rewrite it.
  await ip(['-n', ns, 'route', 'add', 'default', 'via', cluster.hubAddress]);
  for (const peer of peers) {
    if (peer.index === node.index) continue;
    await ip(['-n', ns, 'route', 'add', peer.podCidr, 'via', peer.address]);
  }
  await setSysctls(ns, ['net.ipv4.ip_forward=1', 'net.bridge.bridge-nf-call-iptables=1']);
}

/** Power loss answers nobody: the link goes first, so that no peer gets a reset. */
export async function setLink(
  cluster: ClusterLayout,
  node: NodeLayout,
  state: 'up' | 'down',
): Promise<void> {
  await ip(['-n', cluster.hubNamespace, 'link', 'set', node.veth, state]);
}

/** A namespace frees its devices some time after it is gone; the pair's name is wanted at once. */
export async function removeNodeNetwork(cluster: ClusterLayout, node: NodeLayout): Promise<void> {
  await tryRun('ip', ['-n', cluster.hubNamespace, 'link', 'del', node.veth], { timeoutMs: 10_000 });
  await removeNamespace(node.namespace);
}

export async function removeNamespace(name: string): Promise<void> {
  await tryRun('ip', ['netns', 'del', name], { timeoutMs: 10_000 });
}

function apiRules(cluster: ClusterLayout, node: NodeLayout): string[][] {
  return [node.address, node.podCidr].flatMap((address) => [
    ['INPUT', '-s', address, '-d', cluster.hubAddress, '-j', 'DROP'],
    ['OUTPUT', '-s', cluster.hubAddress, '-d', address, '-j', 'DROP'],
  ]);
}

/** Cuts a node and its pods off from the API server; the nodes still see each other. */
export async function cutFromApi(cluster: ClusterLayout, node: NodeLayout): Promise<void> {
  await healApi(cluster, node);
  for (const rule of apiRules(cluster, node)) {
    await inNamespace(cluster.hubNamespace, 'iptables', ['-w', '-A', ...rule]);
  }
}

export async function healApi(cluster: ClusterLayout, node: NodeLayout): Promise<void> {
  const args = [`--net=/run/netns/${cluster.hubNamespace}`, '--', 'iptables', '-w', '-D'];
  for (const rule of apiRules(cluster, node)) {
    await tryRun('nsenter', [...args, ...rule], { timeoutMs: 10_000 });
  }
}

/**
 * Cuts a node off from the other nodes and their pods, both ways; the API
 * server stays in reach. A permanent neighbour entry with an address that
 * nobody has needs no packet filter beside kube-proxy's.
 */
export async function cutFromPeers(node: NodeLayout, peers: readonly NodeLayout[]): Promise<void> {
  for (const peer of peers) {
    if (peer.index === node.index) continue;
    for (const [from, to] of [
      [node, peer],
      [peer, node],
    ] as const) {
      await tryRun('ip', [
        ...['-n', from.namespace, 'neigh', 'replace', to.address],
        ...['lladdr', '02:00:00:00:00:fe', 'nud', 'permanent', 'dev', 'eth0'],
      ]);
    }
  }
}

export async function healPeers(node: NodeLayout, peers: readonly NodeLayout[]): Promise<void> {
  for (const peer of peers) {
    if (peer.index === node.index) continue;
    for (const [from, to] of [
      [node, peer],
      [peer, node],
    ] as const) {
      const where = ['-n', from.namespace, 'neigh', 'show', to.address, 'nud', 'permanent'];
      const shown = await tryRun('ip', where, { timeoutMs: 10_000 });
      if (shown.stdout.trim() === '') continue;
      await ip(['-n', from.namespace, 'neigh', 'del', to.address, 'dev', 'eth0']);
    }
  }
}

/** The cluster's namespaces as the kernel lists them. */
export async function listNamespaces(cluster: ClusterLayout): Promise<string[]> {
  const names = await readdir('/run/netns').catch(() => []);
  return names.filter((name) => name.startsWith(`${cluster.prefix}-`));
}

/** The inodes of those namespaces, as /proc/PID/ns/net shows them, with their names. */
export async function namespaceInodes(cluster: ClusterLayout): Promise<Map<string, string>> {
  const inodes = new Map<string, string>();
  for (const name of await listNamespaces(cluster)) {
    const info = await stat(`/run/netns/${name}`).catch(() => undefined);
    if (info !== undefined) inodes.set(`net:[${info.ino}]`, name);
  }
  return inodes;
}
