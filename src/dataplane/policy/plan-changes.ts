import type { VolumeRecord, VolumeSpecRecord } from '../../kernel/volume-record.js';
import { placeReplicas, type PlacementNode } from '../cluster/placement.js';
import { noPlacementRules, placementBreaches } from '../cluster/placement-rules.js';
import { governing, revisionOf, type PolicyEntry } from './policy-entry.js';
import { nodesOf, rulesFor, type GovernedCluster } from './policy-status.js';
import { breachesOf, ruledNumber } from './volume-rules.js';

/** A change of where a volume's replicas lie, as UpdateReplicas takes it. */
export interface ReplicaStep {
  readonly volumeId: string;
  /** 0: as many as now. */
  readonly count: number;
  readonly addNodes: readonly string[];
  readonly removeNodes: readonly string[];
}

export interface RecordStep {
  readonly volumeId: string;
  readonly spec: VolumeSpecRecord;
  /** The volume is where its policy wants it: this is noted as the revision. */
  readonly applied: string | undefined;
}

export interface ChangePlan {
  /** Cheap: the record alone. */
  readonly records: readonly RecordStep[];
  /** To be begun now. */
  readonly replicas: readonly ReplicaStep[];
  /** Volumes at work and those that wait for their turn, by id. */
  readonly changing: ReadonlySet<string>;
  readonly waiting: ReadonlySet<string>;
}

export interface PlanInput extends GovernedCluster {
  /** Asked only when a volume is to be changed: it counts every replica of the cluster. */
  placementNodes(): readonly PlacementNode[];
  /** Volumes that can't get on for now, and hold no place of those at work. */
  readonly resting: ReadonlySet<string>;
  readonly maxAtOnce: number;
}

/**
 * What is to be done next so that living volumes are as their policies (where
 * these allow it) or a person asked. Pure: the same cluster gives the same plan,
 * so that it does not matter which node carries it out, or whether two do.
 */
export function planChanges(input: PlanInput): ChangePlan {
  const records: RecordStep[] = [];
  const replicas: ReplicaStep[] = [];
  const changing = new Set<string>();
  const waiting = new Set<string>();
  const wanting: ReplicaStep[] = [];
  for (const record of input.volumes.values()) {
    const entry = governing(input.policies, record);
    if (!isToChange(record, entry)) continue;
    if (record.replicaWish !== undefined) {
      // One that finds no place must not keep the others from their turn.
      (record.replicaWish.blocked === '' ? changing : waiting).add(record.id);
      continue;
    }
    const direct = directlyChanged(record, entry);
    const step = replicaStep(input, { ...record, spec: direct }, entry);
    if (step === 'later') {
      waiting.add(record.id);
      continue;
    }
    if (step === undefined) {
      const applied = entry === undefined ? undefined : revisionOf(entry);
      records.push({ volumeId: record.id, spec: direct, applied });
      continue;
    }
    if (direct !== record.spec) {
      records.push({ volumeId: record.id, spec: direct, applied: record.policyApplied });
    }
    if (input.resting.has(record.id)) waiting.add(record.id);
    else wanting.push(step);
  }
  for (const step of wanting) {
    if (changing.size >= input.maxAtOnce) waiting.add(step.volumeId);
    else {
      replicas.push(step);
      changing.add(step.volumeId);
    }
  }
  return { records, replicas, changing, waiting };
}

function isToChange(record: VolumeRecord, entry: PolicyEntry | undefined): boolean {
  if (record.lifecycle !== 'ready' || record.readOnly) return false;
  if (record.policyApplied === 'asked') return true;
  return entry?.policy.allowUpdate === true && record.policyApplied !== revisionOf(entry);
}

/** Size is left alone: a volume that grows by itself surprises whoever counts its space. */
const directRules = ['volume.ioPriority', 'volume.ioProfile', 'volume.sticky'];

function directlyChanged(record: VolumeRecord, entry: PolicyEntry | undefined): VolumeSpecRecord {
  if (entry === undefined) return record.spec;
  const rules = entry.policy.volume;
  let volume: Pick<VolumeRecord, 'sizeBytes' | 'spec'> = record;
  const isDirect = (rule: string) =>
    directRules.includes(rule) || rule.startsWith('volume.labels.');
  for (const { rule } of breachesOf(rules, record)) {
    if (!isDirect(rule)) continue;
    const breach = breachesOf(rules, volume).find((candidate) => candidate.rule === rule);
    volume = breach?.remedy?.volume ?? volume;
  }
  return volume.spec;
}

/** First the number of replicas, then where they lie; undefined when nothing is to be done, or can be. */
function replicaStep(
  input: PlanInput,
  record: VolumeRecord,
  entry: PolicyEntry | undefined,
): ReplicaStep | 'later' | undefined {
  const rule = entry?.policy.volume.replication;
  const { replicas } = record.spec;
  const count = rule === undefined ? replicas : ruledNumber(rule, replicas);
  if (count !== replicas) {
    return { volumeId: record.id, count, addNodes: [], removeNodes: [] };
  }
  // While a node is away its replicas are not moved for beauty's sake.
  const away = record.replicas.some(({ nodeId }) => {
    return input.placementNodes().find(({ id }) => id === nodeId)?.alive !== true;
  });
  return away ? 'later' : moveStep(input, record, entry);
}

function moveStep(
  input: PlanInput,
  record: VolumeRecord,
  entry: PolicyEntry | undefined,
): ReplicaStep | undefined {
  const rules = entry === undefined ? noPlacementRules : rulesFor(input, entry, record);
  const misplaced = placementBreaches(rules, nodesOf(input, record)).length > 0;
  const wrongClass = replicasOfAnotherClass(input, record);
  if (!misplaced && wrongClass.size === 0) return undefined;
  const ofClass = input.placementNodes().map((node) => onlyClass(node, record));
  const current = record.replicas.map(({ nodeId }) => nodeId);
  const candidates = [
    // One replica at a time costs least; all anew is the last resort.
    ...(wrongClass.size > 0 ? replacements(ofClass, record, rules, wrongClass) : []),
    ...(wrongClass.size > 0 && misplaced ? [allAnew(ofClass, record, rules)] : []),
    ...(misplaced ? replacements(input.placementNodes(), record, rules, new Set(current)) : []),
    ...(misplaced ? [allAnew(input.placementNodes(), record, rules)] : []),
  ];
  for (const nodeIds of candidates) {
    if (nodeIds === undefined) continue;
    const addNodes = nodeIds.filter((nodeId) => !current.includes(nodeId));
    const removeNodes = current.filter((nodeId) => !nodeIds.includes(nodeId));
    if (addNodes.length === 0) continue;
    return { volumeId: record.id, count: 0, addNodes, removeNodes };
  }
  return undefined;
}

type Rules = ReturnType<typeof rulesFor>;

/** Each set of nodes that keeps all replicas but one of `leaving`; lazily it would be no shorter. */
function replacements(
  nodes: readonly PlacementNode[],
  record: VolumeRecord,
  rules: Rules,
  leaving: ReadonlySet<string>,
): (readonly string[] | undefined)[] {
  const current = record.replicas.map(({ nodeId }) => nodeId);
  return current
    .filter((nodeId) => leaving.has(nodeId))
    .map((nodeId) => {
      const others = current.filter((other) => other !== nodeId);
      const free = nodes.filter(({ id }) => id !== nodeId);
      const placed = tryPlace(free, record, rules, { replicas: 1, existingNodes: others });
      if (placed === undefined) return undefined;
      const all = [...others, ...placed];
      const there = nodes.filter(({ id }) => all.includes(id));
      return placementBreaches(rules, there).length === 0 ? all : undefined;
    });
}

function allAnew(
  nodes: readonly PlacementNode[],
  record: VolumeRecord,
  rules: Rules,
): readonly string[] | undefined {
  const { replicas } = record.spec;
  return tryPlace(nodes, record, rules, { replicas, existingNodes: [] });
}

function tryPlace(
  nodes: readonly PlacementNode[],
  record: VolumeRecord,
  rules: Rules,
  wish: { readonly replicas: number; readonly existingNodes: readonly string[] },
): readonly string[] | undefined {
  try {
    return placeReplicas(nodes, {
      sizeBytes: record.sizeBytes,
      spec: { ...record.spec, replicas: wish.replicas },
      preferredNodes: record.replicas.map(({ nodeId }) => nodeId),
      required: [],
      groupReplicas: {},
      existingNodes: wish.existingNodes,
      rules,
    }).map(({ nodeId }) => nodeId);
  } catch {
    return undefined;
  }
}

/** Nodes whose replica lies in a pool of another class than the volume asks for. */
function replicasOfAnotherClass(input: PlanInput, record: VolumeRecord): ReadonlySet<string> {
  const wrong = record.replicas.filter(({ nodeId, poolId }) => {
    const node = input.placementNodes().find(({ id }) => id === nodeId);
    const pool = node?.pools.find(({ id }) => id === poolId);
    return pool !== undefined && pool.class !== record.spec.ioPriority;
  });
  return new Set(wrong.map(({ nodeId }) => nodeId));
}

/** The class is best effort when a volume is made; a move for its sake must reach it. */
function onlyClass(node: PlacementNode, record: VolumeRecord): PlacementNode {
  return { ...node, pools: node.pools.filter((pool) => pool.class === record.spec.ioPriority) };
}
