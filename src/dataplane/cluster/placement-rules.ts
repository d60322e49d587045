import type {
  AffinityRule,
  MatchExpression,
  PolicyPlacement,
} from '../../kernel/storage-policy.js';
import { domainOf, labelsMatchAll, levelOf, nodeMatchesAll } from './topology-labels.js';
import type { PlacedNode } from './topology-labels.js';

/** Another volume, as volume rules see it. */
export interface NeighbourVolume {
  readonly id: string;
  readonly labels: Readonly<Record<string, string>>;
  readonly nodeIds: readonly string[];
}

/** The other volumes; whom a rule means is found once, however many volumes ask. */
export class Neighbours {
  private readonly found = new Map<readonly MatchExpression[], readonly NeighbourVolume[]>();

  constructor(private readonly all: readonly NeighbourVolume[]) {}

  matching(expressions: readonly MatchExpression[]): readonly NeighbourVolume[] {
    const before = this.found.get(expressions);
    if (before !== undefined) return before;
    const matching = this.all.filter(({ labels }) => labelsMatchAll(labels, expressions));
    this.found.set(expressions, matching);
    return matching;
  }
}

/** The volume whose replicas are placed. */
export interface OwnVolume {
  readonly id: string;
  readonly labels: Readonly<Record<string, string>>;
}

/** A rule that a node keeps or breaks by itself. */
interface NodeRule {
  /** Its place in the policy, as `placement.replicaAffinity[0]`. */
  readonly rule: string;
  /** Undefined: required. */
  readonly weight: number | undefined;
  readonly reason: string;
  allows(node: PlacedNode): boolean;
}

/** A rule between the replicas of one volume: all in one domain, or no two. */
interface PairRule {
  readonly rule: string;
  readonly weight: number | undefined;
  readonly key: string;
  readonly together: boolean;
}

/** A policy's placement for one volume, made ready to be asked often. */
export interface PlacementRules {
  readonly nodeRules: readonly NodeRule[];
  readonly pairRules: readonly PairRule[];
}

export const noPlacementRules: PlacementRules = { nodeRules: [], pairRules: [] };

const defaultWeight = 100;

export function preparePlacement(
  placement: PolicyPlacement,
  own: OwnVolume,
  neighbours: Neighbours,
  nodes: readonly PlacedNode[],
): PlacementRules {
  const nodeRules: NodeRule[] = [];
  const pairRules: PairRule[] = [];
  const addReplicaRules = (kind: 'replicaAffinity' | 'replicaAntiAffinity'): void => {
    const together = kind === 'replicaAffinity';
    for (const [index, asked] of (placement[kind] ?? []).entries()) {
      const base = { rule: `placement.${kind}[${index}]`, weight: weightOf(asked) };
      const { matchExpressions = [], topologyKey } = asked;
      if (matchExpressions.length > 0) {
        nodeRules.push({
          ...base,
          reason: together ? 'its labels do not match' : 'its labels match',
          allows: (node) => nodeMatchesAll(node, matchExpressions) === together,
        });
      }
      if (topologyKey !== undefined) pairRules.push({ ...base, key: topologyKey, together });
    }
  };
  addReplicaRules('replicaAffinity');
  addReplicaRules('replicaAntiAffinity');
  for (const kind of ['volumeAffinity', 'volumeAntiAffinity'] as const) {
    for (const [index, asked] of (placement[kind] ?? []).entries()) {
      const rule = volumeRule(kind, asked, own, neighbours, nodes);
      nodeRules.push({ rule: `placement.${kind}[${index}]`, weight: weightOf(asked), ...rule });
    }
  }
  return { nodeRules, pairRules };
}

function volumeRule(
  kind: 'volumeAffinity' | 'volumeAntiAffinity',
  { matchExpressions = [], topologyKey = 'node' }: AffinityRule,
  own: OwnVolume,
  neighbours: Neighbours,
  nodes: readonly PlacedNode[],
): Pick<NodeRule, 'reason' | 'allows'> {
  const matching = neighbours.matching(matchExpressions).filter(({ id }) => id !== own.id);
  const holders = new Set(matching.flatMap(({ nodeIds }) => nodeIds));
  const domains = new Set<string | undefined>();
  for (const node of nodes) if (holders.has(node.id)) domains.add(domainOf(node, topologyKey));
  domains.delete(undefined);
  const isIn = (node: PlacedNode): boolean => domains.has(domainOf(node, topologyKey));
  if (kind === 'volumeAntiAffinity') {
    return {
      reason: `a volume that matches lies in the same ${topologyKey}`,
      allows: (node) => !isIn(node),
    };
  }
  // The first volume of those that are to lie together has nobody to lie beside.
  const isFirst = matching.length === 0 && labelsMatchAll(own.labels, matchExpressions);
  return {
    reason:
      matching.length === 0
        ? 'no volume matches'
        : `no volume that matches lies in the same ${topologyKey}`,
    allows: (node) => isFirst || isIn(node),
  };
}

function weightOf(rule: AffinityRule): number | undefined {
  return rule.enforcement === 'required' ? undefined : (rule.weight ?? defaultWeight);
}

/** Why the node may hold no replica at all; undefined when no required rule forbids it. */
export function nodeRuleProblem(rules: PlacementRules, node: PlacedNode): string | undefined {
  const broken = rules.nodeRules.find((rule) => rule.weight === undefined && !rule.allows(node));
  return broken === undefined ? undefined : `${broken.reason} (${broken.rule})`;
}

/** Why the node may hold no replica beside those at `placed`. */
export function pairRuleProblem(
  rules: PlacementRules,
  node: PlacedNode,
  placed: readonly PlacedNode[],
): string | undefined {
  const broken = rules.pairRules.find(
    (rule) => rule.weight === undefined && breaksPair(rule, node, placed),
  );
  if (broken === undefined) return undefined;
  const where = broken.together ? 'is in another' : 'holds a replica in the same';
  return `it ${where} ${broken.key} (${broken.rule})`;
}

/** The weights of the preferred rules that a replica there would break; 0 is best. */
export function rulePenalty(
  rules: PlacementRules,
  node: PlacedNode,
  placed: readonly PlacedNode[],
): number {
  let penalty = 0;
  for (const rule of rules.nodeRules) if (!rule.allows(node)) penalty += rule.weight ?? 0;
  for (const rule of rules.pairRules) {
    if (breaksPair(rule, node, placed)) penalty += rule.weight ?? 0;
  }
  return penalty;
}

function breaksPair(rule: PairRule, node: PlacedNode, placed: readonly PlacedNode[]): boolean {
  const domain = domainOf(node, rule.key);
  // Without the label a node is in no domain: beside nobody, and in nobody's way.
  if (domain === undefined) return rule.together;
  return placed.some((other) => (domainOf(other, rule.key) === domain) !== rule.together);
}

/** Nodes of one class are alike to every required rule between replicas. */
export function pairClass(rules: PlacementRules, node: PlacedNode): string {
  const keys = rules.pairRules.filter((rule) => rule.weight === undefined).map(({ key }) => key);
  return JSON.stringify(keys.map((key) => domainOf(node, key) ?? null));
}

/** Replicas that must lie in different regions need not stay in one. */
export function spansRegions(rules: PlacementRules): boolean {
  return rules.pairRules.some((rule) => !rule.together && levelOf(rule.key) === 'region');
}

export interface PlacementBreach {
  readonly rule: string;
  readonly message: string;
}

/** The required rules that a volume with replicas on these nodes breaks. */
export function placementBreaches(
  rules: PlacementRules,
  nodes: readonly PlacedNode[],
): PlacementBreach[] {
  const breaches: PlacementBreach[] = [];
  for (const rule of rules.nodeRules) {
    if (rule.weight !== undefined) continue;
    const wrong = nodes.filter((node) => !rule.allows(node)).map(({ name }) => name);
    if (wrong.length > 0) {
      breaches.push({ rule: rule.rule, message: `on ${wrong.join(', ')}: ${rule.reason}` });
    }
  }
  for (const rule of rules.pairRules) {
    if (rule.weight !== undefined) continue;
    const broken = nodes.some((node, index) => breaksPair(rule, node, nodes.slice(0, index)));
    if (!broken) continue;
    const demand = rule.together ? 'must lie in one' : 'must lie each in another';
    const names = nodes.map(({ name }) => name).join(', ');
    breaches.push({ rule: rule.rule, message: `replicas (${names}) ${demand} ${rule.key}` });
  }
  return breaches;
}
