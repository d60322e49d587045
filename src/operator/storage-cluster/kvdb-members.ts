import { geographyOf } from './geography.js';
import { isNodeReady, type KubeNode } from './kubernetes-types.js';

/**
 * Who carries the internal key-value store. The choice is made once and kept
 * in the ConfigMap px-kvdb: its members hold the records of all volumes, so a
 * node that is away for an hour is no reason to choose another.
 */
export interface KvdbMember {
  readonly node: string;
  readonly address: string;
}

export const membersKey = 'members.json';

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

export function writeMembers(members: readonly KvdbMember[]): Readonly<Record<string, string>> {
  return { [membersKey]: JSON.stringify(members) };
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
