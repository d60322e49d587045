import { readdir, stat } from 'node:fs/promises';
import { run, tryRun } from '../lib/run.js';
import type { ClusterLayout, NodeLayout } from './layout.js';

/**
 * The cluster's own Ethernet: a bridge in a namespace of its own (with etcd
 * beside it) and one namespace a node on a veth pair. The machine's own
 * namespace is never touched, and nothing has a route out.
 */
const bridge = 'br0';
const ip = (args: readonly string[]): Promise<string> => run('ip', args, { timeoutMs: 10_000 });

export async function makeHub(cluster: ClusterLayout): Promise<void> {
  const ns = cluster.hubNamespace;
  await ip(['netns', 'add', ns]);
  await ip(['-n', ns, 'link', 'set', 'lo', 'up']);
  await ip(['-n', ns, 'link', 'add', bridge, 'type', 'bridge', 'forward_delay', '0']);
  await ip(['-n', ns, 'addr', 'add', `${cluster.hubAddress}/${cluster.subnetBits}`, 'dev', bridge]);
  await ip(['-n', ns, 'link', 'set', bridge, 'up']);
}

export async function makeNodeNetwork(cluster: ClusterLayout, node: NodeLayout): Promise<void> {
  const ns = node.namespace;
  await ip(['netns', 'add', ns]);
  await ip(['-n', ns, 'link', 'set', 'lo', 'up']);
  await ip([
    ...['-n', cluster.hubNamespace, 'link', 'add', node.veth, 'type', 'veth'],
    ...['peer', 'name', 'eth0', 'netns', ns],
  ]);
  await ip(['-n', cluster.hubNamespace, 'link', 'set', node.veth, 'master', bridge, 'up']);
  await ip(['-n', ns, 'addr', 'add', `${node.address}/${cluster.subnetBits}`, 'dev', 'eth0']);
  await ip(['-n', ns, 'link', 'set', 'eth0', 'up']);
}

/** Cuts the node off (or plugs it in again) at the bridge, so that nobody gets a reset. */
export async function setLink(
  cluster: ClusterLayout,
  node: NodeLayout,
  state: 'up' | 'down',
): Promise<void> {
  await ip(['-n', cluster.hubNamespace, 'link', 'set', node.veth, state]);
}

/**
 * Loses everything that `from` sends to `to`, and nothing the other way: a
 * permanent neighbour entry with an address that nobody has needs no packet
 * filter, and the sender sees silence, not an error.
 */
export async function dropOneWay(from: NodeLayout, toAddress: string): Promise<void> {
  await ip([
    ...['-n', from.namespace, 'neigh', 'replace', toAddress],
    ...['lladdr', '02:00:00:00:00:fe', 'nud', 'permanent', 'dev', 'eth0'],
  ]);
}

export async function clearDrops(from: NodeLayout): Promise<void> {
  const listed = await ip(['-n', from.namespace, 'neigh', 'show', 'nud', 'permanent']);
  for (const line of listed.split('\n')) {
    const address = line.split(' ')[0] ?? '';
    if (address === '') continue;
    await ip(['-n', from.namespace, 'neigh', 'del', address, 'dev', 'eth0']);
  }
}

/** The cluster's namespaces as the kernel lists them. */
export async function listNamespaces(cluster: ClusterLayout): Promise<string[]> {
  const names = await readdir('/run/netns').catch(() => []);
  return names.filter((name) => name.startsWith(`px-${cluster.tag}-`));
}

/** Maps a namespace's inode, as /proc/PID/ns/net shows it, to the node's name. */
export async function namespaceInodes(cluster: ClusterLayout): Promise<Map<string, string>> {
  const inodes = new Map<string, string>();
  for (const name of await listNamespaces(cluster)) {
    const info = await stat(`/run/netns/${name}`).catch(() => undefined);
    if (info !== undefined)
      inodes.set(`net:[${info.ino}]`, name.slice(`px-${cluster.tag}-`.length));
  }
  return inodes;
}

export async function removeNamespaces(cluster: ClusterLayout): Promise<void> {
  // Its veth pairs and the bridge go with a namespace.
  for (const name of await listNamespaces(cluster)) {
    await tryRun('ip', ['netns', 'del', name], { timeoutMs: 10_000 });
  }
}
