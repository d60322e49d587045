import { geographyOf } from './geography.js';
import { nodeLabels } from '../names.js';
import { isNodeReady, type KubeNode } from './kubernetes-types.js';

/**
 * Who carries the internal key-value store. The choice is kept in the ConfigMap
 * px-kvdb: its members hold the records of all volumes, so a node that is away
 * for an hour is no reason to choose another; one that is gone for good is.
 */
export interface KvdbMember {
  readonly node: string;
  readonly address: string;
}

export const membersKey = 'members.json';
/** Set by the first replacement: from then on a member without data joins, and founds nothing. */
const replacedKey = 'replaced';

export function readMembers(data: Readonly<Record<string, string>> | undefined): KvdbMember[] {
  const text = data?.[membersKey];
  if (text === undefined) return [];
  const parsed = JSON.parse(text) as unknown;
  if (!Array.isArray(parsed)) return [];
  return parsed.filter(
    (one: Partial<KvdbMember>): one is KvdbMember =>
      typeof one.node === 'string' && typeof one.address === 'string',
  );
}

export function wasReplaced(data: Readonly<Record<string, string>> | undefined): boolean {
  return data?.[replacedKey] === 'true';
}

export function writeMembers(
  members: readonly KvdbMember[],
  replaced: boolean,
): Readonly<Record<string, string>> {
  const list = { [membersKey]: JSON.stringify(members) };
  return replaced ? { ...list, [replacedKey]: 'true' } : list;
}

/** How long a first choice waits for nodes that are not ready yet. */
const patienceMs = 120_000;

export type MemberChoice =
  | { readonly members: readonly KvdbMember[] }
  /** Too early to choose: why, and when to look again. */
  | { readonly wait: string; readonly againMs: number };

/**
 * Three members where there are three nodes, else one: two would stop with
 * either. They lie in different zones where there are any.
 */
export function chooseMembers(eligible: readonly KubeNode[], waitedMs: number): MemberChoice {
  const usable = eligible.filter(
    (node) => isNodeReady(node) && internalAddress(node) !== undefined,
  );
  const late = waitedMs >= patienceMs;
  if (usable.length === 0) {
    return { wait: 'no node that may run px is ready', againMs: 10_000 };
  }
  if (usable.length < 3 && eligible.length >= 3 && !late) {
    const waiting = eligible.filter((node) => !usable.includes(node));
    return {
      wait: `waiting for ${waiting.map(({ metadata }) => metadata.name).join(', ')} to be ready`,
      againMs: 10_000,
    };
  }
  const chosen = spread(usable, usable.length >= 3 ? 3 : 1);
  return {
    members: chosen.map((node) => ({
      node: node.metadata.name,
      address: internalAddress(node) ?? '',
    })),
  };
}

/** Node after node from the zone that has given the fewest; by name among equals. */
function spread(nodes: readonly KubeNode[], count: number): KubeNode[] {
  const left = [...nodes].sort((a, b) => (a.metadata.name < b.metadata.name ? -1 : 1));
  const taken = new Map<string, number>();
  const chosen: KubeNode[] = [];
  while (chosen.length < count) {
    const zoneOf = (node: KubeNode): string => geographyOf(node.metadata.labels ?? {}).zone;
    const fewest = Math.min(...left.map((node) => taken.get(zoneOf(node)) ?? 0));
    const index = left.findIndex((node) => (taken.get(zoneOf(node)) ?? 0) === fewest);
    const [node] = left.splice(index, 1);
    if (node === undefined) break;
    taken.set(zoneOf(node), fewest + 1);
    chosen.push(node);
  }
  return chosen;
}

export interface Replacement {
  readonly members: readonly KvdbMember[];
  readonly why: string;
}

/**
 * The members with one that is gone for good replaced by another node; undefined
 * when there is nothing to do, or nothing that could be done: with two of three
 * gone etcd has no majority that could take in a third.
 */
export function replaceMember(
  members: readonly KvdbMember[],
  nodes: readonly KubeNode[],
  eligible: readonly KubeNode[],
): Replacement | undefined {
  // One member alone can't hand over: whoever joined it would be half of the votes.
  if (members.length < 3) return undefined;
  const lost = members.filter((member) => isGone(member, nodes));
  const [gone] = lost;
  const stay = members.filter((member) => member !== gone);
  const well = stay.filter(({ node }) =>
    nodes.some((found) => found.metadata.name === node && isNodeReady(found)),
  );
  if (gone === undefined || lost.length > 1 || well.length < stay.length) return undefined;
  const moved = nodes.find((node) => node.metadata.name === gone.node && !isDecommissioned(node));
  const candidates = eligible.filter(
    (node) =>
      isNodeReady(node) &&
      !isDecommissioned(node) &&
      internalAddress(node) !== undefined &&
      !stay.some((member) => member.node === node.metadata.name),
  );
  const successor = moved ?? spreadFrom(stay, nodes, candidates);
  const address = successor === undefined ? undefined : internalAddress(successor);
  if (successor === undefined || address === undefined) return undefined;
  const member = { node: successor.metadata.name, address };
  return {
    members: members.map((one) => (one === gone ? member : one)),
    why: `${gone.node} (${gone.address}) is replaced by ${member.node} (${address})`,
  };
}

/** For good: no such node, decommissioned, or no longer at the address that the others know. */
function isGone({ node, address }: KvdbMember, nodes: readonly KubeNode[]): boolean {
  const found = nodes.find(({ metadata }) => metadata.name === node);
  if (found === undefined || isDecommissioned(found)) return true;
  const now = internalAddress(found);
  return now !== undefined && now !== address;
}

function isDecommissioned(node: KubeNode): boolean {
  return node.metadata.labels?.[nodeLabels.decommissioned] !== undefined;
}

/** From a zone that the members who stay are not in, where there is one. */
function spreadFrom(
  stay: readonly KvdbMember[],
  nodes: readonly KubeNode[],
  candidates: readonly KubeNode[],
): KubeNode | undefined {
  const zoneOf = (node: KubeNode): string => geographyOf(node.metadata.labels ?? {}).zone;
  const taken = nodes
    .filter(({ metadata }) => stay.some(({ node }) => node === metadata.name))
    .map(zoneOf);
  const sorted = [...candidates].sort((a, b) => (a.metadata.name < b.metadata.name ? -1 : 1));
  return sorted.find((node) => !taken.includes(zoneOf(node))) ?? sorted[0];
}

export function internalAddress(node: KubeNode): string | undefined {
  return node.status?.addresses?.find(({ type }) => type === 'InternalIP')?.address;
}

/** What a person should know of the members: those whose node is no more, or has another address. */
export function memberProblems(
  members: readonly KvdbMember[],
  nodes: readonly KubeNode[],
): readonly string[] {
  return members.flatMap(({ node, address }) => {
    const found = nodes.find(({ metadata }) => metadata.name === node);
    if (found === undefined) {
      return [`node ${node}, a member of the key-value store, is no longer in the cluster`];
    }
    const now = internalAddress(found);
    return now === address || now === undefined
      ? []
      : [`node ${node}, a member of the key-value store at ${address}, has the address ${now} now`];
  });
}
