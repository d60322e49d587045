import { Random } from './random.js';

/** The kinds of trouble that a run may meet. */
export const troubleKinds = [
  'crash',
  'power_cut',
  'power_cut_all',
  'pause',
  'partition',
  'one_way_partition',
  'isolation',
  'reset',
  'slow_network',
  'lossy_network',
  'kv_away',
  'kv_cut_off',
  'kv_lost_answers',
  'disk_errors',
  'sync_errors',
  'disk_full',
  'disk_stall',
  'slow_disk',
  'replace_disk',
  'steal',
  'detach',
  'snapshot',
  'grow',
  'check',
  'change_replicas',
  'fence',
] as const;

export type TroubleKind = (typeof troubleKinds)[number];

/**
 * `replacements`: only runs in which replicas are replaced by empty ones.
 * `moves`: only runs in which replicas are added and removed; `settled`: none.
 */
export const profiles = ['any', 'replacements', 'moves', 'settled'] as const;

export type Profile = (typeof profiles)[number];

/**
 * What one seed plays: each run enables a random part of all troubles at its
 * own rates (swarm testing), because some bugs need a trouble to be absent.
 */
export interface Plan {
  readonly replicas: number;
  readonly nodes: number;
  readonly sectors: number;
  readonly activeMs: number;
  readonly opBudget: number;
  readonly clients: number;
  readonly weights: { readonly [type in 'read' | 'write' | 'zero' | 'flush']: number };
  /** Chance that a request goes to the first few sectors. */
  readonly hotChance: number;
  readonly troubles: readonly { readonly kind: TroubleKind; readonly meanGapMs: number }[];
  /** Chance that a node doesn't hear of a change of the record. */
  readonly watchLossChance: number;
  readonly cleanIntervalMs: number;
  /** Chance that trouble comes just when the record has changed, or on the heels of other trouble. */
  readonly momentChance: number;
  /** How likely a power cut loses an unsynced sector. */
  readonly lossChance: number;
  readonly finalPowerCut: boolean;
  readonly preferSameNode: number;
}

/** From a source of their own, so that a seed's plan is otherwise what it would be without. */
const drawnApart: readonly TroubleKind[] = ['change_replicas', 'fence'];

export function drawPlan(random: Random, seed: number, profile: Profile = 'any'): Plan {
  const plan = drawAny(random);
  const replaces = random.chance(0.05) || profile === 'replacements';
  const drawn = replaces ? withReplacements(plan, random) : plan;
  const moves = new Random(seed ^ 0x6d6f7665);
  const wanted = profile === 'moves' || (profile === 'any' && moves.chance(0.5));
  const moved = wanted ? withMoves(drawn, moves) : drawn;
  return profile === 'any' && moves.chance(0.3) ? withFences(moved, moves) : moved;
}

/** A node is taken for dead now and then, and what it had attached is fenced. */
function withFences(plan: Plan, random: Random): Plan {
  const meanGapMs = plan.activeMs * random.between(0.1, 0.5);
  return { ...plan, troubles: [...plan.troubles, { kind: 'fence', meanGapMs }] };
}

/** Nodes to spare, and wishes for other replicas at all times. */
function withMoves(plan: Plan, random: Random): Plan {
  const spare = 1 + random.int(2);
  const meanGapMs = plan.activeMs * random.between(0.05, 0.4);
  return {
    ...plan,
    nodes: Math.max(plan.nodes, plan.replicas + spare),
    troubles: [...plan.troubles, { kind: 'change_replicas', meanGapMs }],
  };
}

/**
 * Replicas that come and go and are replaced by empty ones, on a volume that is
 * mostly discarded: what is equal by chance is what marks are easily wrong about.
 */
function withReplacements(plan: Plan, random: Random): Plan {
  const often = (kind: TroubleKind, share: number) => ({
    kind,
    meanGapMs: plan.activeMs * share * random.between(0.5, 1.5),
  });
  return {
    ...plan,
    replicas: 3,
    nodes: 4,
    sectors: 16,
    weights: { ...plan.weights, zero: random.between(2, 6) },
    cleanIntervalMs: 30,
    troubles: [often('replace_disk', 0.02), often('power_cut', 0.2), often('isolation', 0.2)],
  };
}

function drawAny(random: Random): Plan {
  const replicas = random.pick([1, 2, 2, 2, 3, 3, 3, 3]);
  const intensity = random.pick([0.15, 0.3, 0.3, 0.5, 0.7]);
  const activeMs = random.between(800, 5000);
  const troubles = troubleKinds
    .filter((kind) => !drawnApart.includes(kind) && random.chance(intensity))
    .map((kind) => ({ kind, meanGapMs: random.between(0.15, 1.2) * activeMs }));
  return {
    replicas,
    nodes: replicas + (random.chance(0.4) || replicas === 1 ? 1 : 0),
    sectors: random.pick([16, 32, 32, 48]),
    activeMs,
    opBudget: 40 + random.int(random.pick([200, 200, 500])),
    clients: 1 + random.int(random.pick([8, 16])),
    weights: {
      read: random.between(0.5, 4),
      write: random.between(1, 4),
      zero: random.chance(0.5) ? random.between(0.2, 1) : 0,
      flush: random.chance(0.8) ? random.between(0.1, 1) : 0,
    },
    hotChance: random.pick([0, 0.3, 0.7]),
    troubles,
    watchLossChance: random.pick([0, 0.3, 1]),
    cleanIntervalMs: random.pick([30, 100, 300, 1500]),
    momentChance: random.pick([0, 0.1, 0.4]),
    lossChance: random.pick([0.5, 1, 1]),
    finalPowerCut: random.chance(0.3),
    preferSameNode: random.pick([0, 0.5, 0.9]),
  };
}
