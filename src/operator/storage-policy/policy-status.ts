import type { Condition } from '../../crds/condition.js';
import type { StoragePolicyResource, StoragePolicyStatus } from '../../crds/storage-policy.js';
import type { StoragePolicyStatus__Output } from '../../gen/px/v1/StoragePolicyStatus.js';
import { canonicalText } from './plan-policies.js';

export interface StatusInput {
  readonly resource: StoragePolicyResource;
  /** What the data plane says of it; undefined when it has no such policy. */
  readonly px: StoragePolicyStatus__Output | undefined;
  /** Why it could not be put; undefined when it was, or need not be. */
  readonly problem: string | undefined;
  readonly timestamp: string;
}

/** A list for a person: who has more violations asks px. */
const maxViolations = 100;
/** The time alone is written this seldom, so that an idle cluster writes next to nothing. */
const refreshMs = 600_000;

export function desiredStatus({
  resource,
  px,
  problem,
  timestamp,
}: StatusInput): StoragePolicyStatus {
  const violations = px?.violations ?? [];
  const violating = new Set(violations.map(({ volume_id }) => volume_id)).size;
  const sorted = [...violations].sort((a, b) => (a.volume_name < b.volume_name ? -1 : 1));
  const before = resource.status?.conditions ?? [];
  const { generation } = resource.metadata;
  return {
    ...(generation === undefined ? {} : { observedGeneration: generation }),
    governed: px?.governed ?? 0,
    changing: px?.changing ?? 0,
    waiting: px?.waiting ?? 0,
    violating,
    violations: sorted.slice(0, maxViolations).map((violation) => ({
      volume: violation.volume_name,
      volumeId: violation.volume_id,
      rule: violation.rule,
      message: violation.message,
    })),
    lastReconcileTime: timestamp,
    conditions: [
      withTime(before, timestamp, generation, {
        type: 'Applied',
        status: problem === undefined ? 'True' : 'False',
        reason: problem === undefined ? 'Applied' : 'Refused',
        message: problem ?? '',
      }),
      withTime(before, timestamp, generation, compliance(px, violating)),
    ],
  };
}

type Said = Pick<Condition, 'type' | 'status' | 'reason' | 'message'>;

function compliance(px: StoragePolicyStatus__Output | undefined, violating: number): Said {
  const type = 'Compliant';
  if (px === undefined) {
    return {
      type,
      status: 'Unknown',
      reason: 'NotApplied',
      message: 'px does not have the policy',
    };
  }
  if (violating === 0) return { type, status: 'True', reason: 'AllKept', message: '' };
  const work = px.changing + px.waiting;
  const more = work === 0 ? '' : `; ${px.changing} are being changed and ${px.waiting} wait`;
  const message = `${violating} of ${px.governed} volumes break a rule${more}`;
  return { type, status: 'False', reason: work === 0 ? 'Violated' : 'Changing', message };
}

/** The time of a condition is that of its last change. */
function withTime(
  before: readonly Condition[],
  timestamp: string,
  generation: number | undefined,
  said: Said,
): Condition {
  const old = before.find(({ type }) => type === said.type);
  const since = old?.status === said.status ? old.lastTransitionTime : undefined;
  return {
    ...said,
    ...(generation === undefined ? {} : { observedGeneration: generation }),
    lastTransitionTime: since ?? timestamp,
  };
}

/** Whether writing it would tell anybody anything new. */
export function isWorthWriting(
  before: StoragePolicyStatus | undefined,
  wanted: StoragePolicyStatus,
): boolean {
  if (before === undefined) return true;
  const told = ({ lastReconcileTime: _, ...rest }: StoragePolicyStatus) => canonicalText(rest);
  if (told(before) !== told(wanted)) return true;
  const age =
    Date.parse(wanted.lastReconcileTime ?? '') - Date.parse(before.lastReconcileTime ?? '');
  return !(age < refreshMs);
}
