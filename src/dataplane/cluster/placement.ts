import { PxError } from '../../kernel/errors.js';
import type { VolumeSpecRecord } from '../../kernel/volume-record.js';
import {
  noPlacementRules,
  nodeRuleProblem,
  pairClass,
  pairRuleProblem,
  rulePenalty,
  spansRegions,
  type PlacementRules,
} from './placement-rules.js';

/**
 * Chooses the pools of a volume's replicas. Pure and deterministic: the same
 * cluster and the same wish give the same answer, whatever the order of the input.
 */
export interface PlacementNode {
  readonly id: string;
  readonly name: string;
  readonly alive: boolean;
  readonly maintenance: boolean;
  readonly zone: string;
  readonly region: string;
  readonly rack: string;
  readonly labels: Readonly<Record<string, string>>;
  readonly pools: readonly PlacementPool[];
}

export interface PlacementPool {
  readonly id: string;
  readonly class: 'high' | 'medium' | 'low';
  readonly state: 'online' | 'full' | 'offline';
  readonly totalBytes: number;
  readonly availableBytes: number;
  /** Sum of the sizes of the replicas that are placed here. */
  readonly provisionedBytes: number;
}

export interface PlacementWish {
  readonly sizeBytes: number;
  readonly spec: Pick<
    VolumeSpecRecord,
    | 'replicas'
    | 'ioPriority'
    | 'nodes'
    | 'zones'
    | 'racks'
    | 'regions'
    | 'bestEffortLocation'
    | 'group'
    | 'groupEnforced'
  >;
  /** Nodes that should get a replica, best first. */
  readonly preferredNodes: readonly string[];
  /** A node must match every segment of one of these; none: every node may be used. */
  readonly required: readonly Readonly<Record<string, string>>[];
  /** How many replicas of volumes of the same group each node holds already. */
  readonly groupReplicas: Readonly<Record<string, number>>;
  /** Nodes that hold a replica of this volume already. */
  readonly existingNodes: readonly string[];
  /** What the volume's storage policy says of the place. */
  readonly rules?: PlacementRules;
}

export interface Placement {
  readonly nodeId: string;
  readonly poolId: string;
}

interface Candidate {
  readonly node: PlacementNode;
  readonly pool: PlacementPool;
  /** Wishes about the place that the node does not meet; only with best effort above 0. */
  readonly missed: number;
}

interface Refusal {
  readonly node: PlacementNode;
  readonly reason: string;
}

/** Thin pools may promise more than they hold, but not without end. */
export const overcommitFactor = 10;

const classRank = { high: 0, medium: 1, low: 2 } as const;

export function placeReplicas(nodes: readonly PlacementNode[], wish: PlacementWish): Placement[] {
  const candidates: Candidate[] = [];
  const refusals: Refusal[] = [];
  for (const node of [...nodes].sort(byId)) {
    const judged = judge(node, wish);
    if ('reason' in judged) refusals.push(judged);
    else candidates.push(judged);
  }
  const attempts = regionsToTry(candidates, nodes, wish).map((region) =>
    inRegion(region, candidates, nodes, wish),
  );
  const done = attempts.find(({ chosen }) => chosen.length === wish.spec.replicas);
  if (done === undefined) {
    const [best] = attempts.sort((a, b) => b.chosen.length - a.chosen.length);
    const { chosen = [], refusals: more = [] } = best ?? {};
    throw impossible(wish, chosen.length, [...refusals, ...more]);
  }
  return done.chosen.map(({ node, pool }) => ({ nodeId: node.id, poolId: pool.id }));
}

interface Attempt {
  readonly chosen: readonly Candidate[];
  readonly refusals: readonly Refusal[];
}

function inRegion(
  region: string | undefined,
  candidates: readonly Candidate[],
  nodes: readonly PlacementNode[],
  wish: PlacementWish,
): Attempt {
  const isIn = ({ node }: Candidate) => region === undefined || node.region === region;
  const refusals: Refusal[] = candidates
    .filter((candidate) => !isIn(candidate))
    .map(({ node }) => ({ node, reason: `it is not in region "${region}"` }));
  const usable = candidates.filter(isIn);
  const chosen = choose(usable, nodes, wish);
  if (chosen.length === wish.spec.replicas) return { chosen, refusals };
  const placed = [...heldNodes(nodes, wish), ...chosen.map(({ node }) => node)];
  for (const { node } of usable) {
    const reason = pairRuleProblem(wish.rules ?? noPlacementRules, node, placed);
    if (reason !== undefined && !placed.includes(node)) refusals.push({ node, reason });
  }
  return { chosen, refusals };
}

function judge(node: PlacementNode, wish: PlacementWish): Candidate | Refusal {
  const { spec } = wish;
  const refuse = (reason: string): Refusal => ({ node, reason });
  if (wish.existingNodes.includes(node.id))
    return refuse('it holds a replica of this volume already');
  if (!node.alive) return refuse('it is down');
  if (node.maintenance) return refuse('it is in maintenance');
  if (wish.required.length > 0 && !wish.required.some((segments) => nodeMatches(node, segments))) {
    return refuse('it is outside the required topology');
  }
  const place = placeProblems(node, spec);
  const [firstProblem] = place;
  if (firstProblem !== undefined && !spec.bestEffortLocation) return refuse(firstProblem);
  if (spec.groupEnforced && (wish.groupReplicas[node.id] ?? 0) > 0) {
    return refuse(`it holds a replica of group "${spec.group}" already`);
  }
  const ruleProblem = nodeRuleProblem(wish.rules ?? noPlacementRules, node);
  if (ruleProblem !== undefined) return refuse(ruleProblem);
  const pool = choosePool(node, wish);
  if (typeof pool === 'string') return refuse(pool);
  return { node, pool, missed: place.length };
}

export function nodeMatches(
  node: PlacementNode,
  segments: Readonly<Record<string, string>>,
): boolean {
  return Object.entries(segments).every(([key, value]) => {
    if (key === 'node') return value === node.id || value === node.name;
    if (key === 'zone') return value === node.zone;
    if (key === 'region') return value === node.region;
    if (key === 'rack') return value === node.rack;
    return node.labels[key] === value;
  });
}

function placeProblems(node: PlacementNode, spec: PlacementWish['spec']): string[] {
  const problems: string[] = [];
  if (spec.nodes.length > 0 && !spec.nodes.includes(node.id) && !spec.nodes.includes(node.name)) {
    problems.push('it is not among the nodes asked for');
  }
  const check = (asked: readonly string[], is: string, what: string): void => {
    if (asked.length > 0 && !asked.includes(is)) {
      problems.push(`its ${what} "${is}" is not among those asked for`);
    }
  };
  check(spec.zones, node.zone, 'zone');
  check(spec.racks, node.rack, 'rack');
  check(spec.regions, node.region, 'region');
  return problems;
}

/** The node's best pool for the wish, or why none will do. */
function choosePool(node: PlacementNode, wish: PlacementWish): PlacementPool | string {
  if (node.pools.length === 0) return 'it has no pool';
  const problems: string[] = [];
  const fitting = node.pools.filter((pool) => {
    const problem = poolProblem(pool, wish.sizeBytes);
    if (problem !== '') problems.push(problem);
    return problem === '';
  });
  const [best] = [...fitting].sort(
    (a, b) =>
      classDistance(a, wish) - classDistance(b, wish) ||
      freeShare(b) - freeShare(a) ||
      compareText(a.id, b.id),
  );
  return best ?? problems.join(', ');
}

function poolProblem(pool: PlacementPool, sizeBytes: number): string {
  if (pool.state !== 'online') return `pool ${pool.id} is ${pool.state}`;
  const promised = pool.totalBytes * overcommitFactor - pool.provisionedBytes;
  if (sizeBytes > promised) {
    return `pool ${pool.id} has only ${Math.max(0, Math.floor(promised))} bytes left to promise`;
  }
  if (pool.availableBytes <= 0) return `pool ${pool.id} has no free space`;
  return '';
}

/** The asked class is best; else the next lower one, as the volume asked for no more, then higher. */
function classDistance(pool: PlacementPool, wish: PlacementWish): number {
  const step = classRank[pool.class] - classRank[wish.spec.ioPriority];
  return step >= 0 ? step : 3 - step;
}

/** What would be free of the pool if every promise were kept; below 0 when overcommitted. */
function freeShare(pool: PlacementPool): number {
  if (pool.totalBytes === 0) return -overcommitFactor;
  const promised = 1 - pool.provisionedBytes / pool.totalBytes;
  return Math.min(promised, pool.availableBytes / pool.totalBytes);
}

/**
 * Replicas stay in one region unless regions were asked for, or must lie in
 * different ones: a synchronous write pays the distance. First comes the region
 * of the best candidate among the regions that can hold all replicas.
 */
function regionsToTry(
  candidates: readonly Candidate[],
  nodes: readonly PlacementNode[],
  wish: PlacementWish,
): readonly (string | undefined)[] {
  if (wish.spec.regions.length > 0 || spansRegions(wish.rules ?? noPlacementRules)) {
    return [undefined];
  }
  const existing = nodes.find((node) => wish.existingNodes.includes(node.id));
  if (existing !== undefined) return [existing.region];
  const counts = new Map<string, number>();
  for (const { node } of candidates) counts.set(node.region, (counts.get(node.region) ?? 0) + 1);
  const ranked = [...candidates].sort((a, b) => compareCandidates(a, b, wish));
  const regions = [...new Set(ranked.map(({ node }) => node.region))];
  const enough = regions.filter((region) => (counts.get(region) ?? 0) >= wish.spec.replicas);
  if (wish.spec.bestEffortLocation) return [...enough, undefined];
  return enough.length > 0 ? enough : [regions[0]];
}

function heldNodes(nodes: readonly PlacementNode[], wish: PlacementWish): PlacementNode[] {
  return nodes.filter((node) => wish.existingNodes.includes(node.id));
}

/** Rules that contradict each other must not make a search without end. */
const maxSearchSteps = 20_000;

/**
 * One replica after the other: each time the best node, a zone without a
 * replica first. Where a rule between replicas leaves none for the rest, the
 * next best is tried; nodes that are alike to these rules fail alike. Answers
 * the most replicas that were found when there are not enough.
 */
function choose(
  candidates: readonly Candidate[],
  nodes: readonly PlacementNode[],
  wish: PlacementWish,
): readonly Candidate[] {
  const rules = wish.rules ?? noPlacementRules;
  const held = heldNodes(nodes, wish);
  let steps = 0;
  let most: readonly Candidate[] = [];
  const extend = (chosen: readonly Candidate[]): boolean => {
    if (chosen.length > most.length) most = chosen;
    if (chosen.length === wish.spec.replicas) return true;
    const placed = [...held, ...chosen.map(({ node }) => node)];
    const failed = new Set<string>();
    for (const candidate of bestFirst(candidates, chosen, placed, wish)) {
      const alike = pairClass(rules, candidate.node);
      if (failed.has(alike)) continue;
      steps += 1;
      if (steps > maxSearchSteps) return false;
      if (extend([...chosen, candidate])) return true;
      failed.add(alike);
    }
    return false;
  };
  extend([]);
  return most;
}

/** Who may hold the next replica beside those that are placed. */
function bestFirst(
  candidates: readonly Candidate[],
  chosen: readonly Candidate[],
  placed: readonly PlacementNode[],
  wish: PlacementWish,
): Candidate[] {
  const rules = wish.rules ?? noPlacementRules;
  const zones = new Set(placed.map(zoneOf));
  const racks = new Set(placed.map(rackOf));
  const penalties = new Map<Candidate, number>();
  const left = candidates.filter((candidate) => {
    if (chosen.includes(candidate)) return false;
    if (pairRuleProblem(rules, candidate.node, placed) !== undefined) return false;
    penalties.set(candidate, rulePenalty(rules, candidate.node, placed));
    return true;
  });
  return left.sort(
    (a, b) =>
      a.missed - b.missed ||
      (penalties.get(a) ?? 0) - (penalties.get(b) ?? 0) ||
      Number(zones.has(zoneOf(a.node))) - Number(zones.has(zoneOf(b.node))) ||
      preference(a, wish) - preference(b, wish) ||
      Number(racks.has(rackOf(a.node))) - Number(racks.has(rackOf(b.node))) ||
      compareCandidates(a, b, wish),
  );
}

function compareCandidates(a: Candidate, b: Candidate, wish: PlacementWish): number {
  return (
    a.missed - b.missed ||
    preference(a, wish) - preference(b, wish) ||
    (wish.groupReplicas[a.node.id] ?? 0) - (wish.groupReplicas[b.node.id] ?? 0) ||
    classDistance(a.pool, wish) - classDistance(b.pool, wish) ||
    freeShare(b.pool) - freeShare(a.pool) ||
    compareText(a.node.id, b.node.id)
  );
}

function preference(candidate: Candidate, wish: PlacementWish): number {
  const { id, name } = candidate.node;
  const index = wish.preferredNodes.findIndex((wanted) => wanted === id || wanted === name);
  return index < 0 ? wish.preferredNodes.length : index;
}

function zoneOf(node: PlacementNode): string {
  return `${node.region}/${node.zone}`;
}

function rackOf(node: PlacementNode): string {
  return `${zoneOf(node)}/${node.rack}`;
}

function impossible(wish: PlacementWish, found: number, refusals: readonly Refusal[]): PxError {
  const reasons = refusals.map(({ node, reason }) => `${node.name}: ${reason}`);
  const why = reasons.length === 0 ? 'the cluster has no other node' : reasons.join('; ');
  return new PxError(
    'resource_exhausted',
    `${wish.spec.replicas} replica(s) on distinct nodes are asked for and ${found} can be placed (${why})`,
    { refusals: reasons },
  );
}

function byId(a: PlacementNode, b: PlacementNode): number {
  return compareText(a.id, b.id);
}

function compareText(a: string, b: string): number {
  return a < b ? -1 : a > b ? 1 : 0;
}
