import type { StoragePolicyStatus__Output } from '../../gen/px/v1/StoragePolicyStatus.js';
import { formatSchedule } from '../../kernel/snapshot-schedule.js';
import type {
  AffinityRule,
  NumberRule,
  PolicyPlacement,
  StoragePolicy,
} from '../../kernel/storage-policy.js';
import { formatBytes } from '../sizes.js';
import { formatFields, formatTable } from './table.js';

export function policyTable(policies: readonly StoragePolicyStatus__Output[]): string {
  return formatTable(
    ['NAME', 'DEFAULT', 'ENFORCEMENT', 'GOVERNED', 'VIOLATIONS', 'CHANGING', 'KEPT BY'],
    policies.map((policy) => [
      policy.name,
      policy.is_default ? 'yes' : 'no',
      parsed(policy).enforcement.toLowerCase(),
      String(policy.governed),
      String(policy.violations.length),
      `${policy.changing} (${policy.waiting} wait)`,
      policy.owner,
    ]),
  );
}

export function policyText(status: StoragePolicyStatus__Output): string {
  const { volume, placement, snapshotSchedule, ...policy } = parsed(status);
  const labels = Object.entries(volume.labels ?? {}).map(([name, value]) => `${name}=${value}`);
  const rules: (readonly [string, string | undefined])[] = [
    ['Default', status.is_default ? 'yes' : 'no'],
    ['Enforcement', policy.enforcement.toLowerCase()],
    ['Allow update', policy.allowUpdate ? 'yes' : 'no'],
    ['Replicas', ruleText(volume.replication, String)],
    ['Size', ruleText(volume.sizeBytes, formatBytes)],
    ['IO Priority', volume.ioPriority?.toUpperCase()],
    ['IO Profile', volume.ioProfile],
    ['Aggregation level', volume.aggregationLevel?.toString()],
    ['Sticky', volume.sticky === undefined ? undefined : volume.sticky ? 'yes' : 'no'],
    ['Labels', labels.length === 0 ? undefined : labels.join(',')],
    ...placementLines(placement),
    ['Snapshots', snapshotSchedule === undefined ? undefined : formatSchedule(snapshotSchedule)],
    ['Kept by', status.owner === '' ? undefined : status.owner],
    ['Volumes governed', String(status.governed)],
    ['Volumes changing', `${status.changing} (${status.waiting} wait)`],
  ];
  const said = rules.filter((rule): rule is readonly [string, string] => rule[1] !== undefined);
  return [`Storage policy : ${status.name}`, formatFields(said), violationText(status)].join('\n');
}

/** Every schedule there is: of policies, and of volumes themselves. */
export function scheduleTable(
  rows: readonly { readonly kind: string; readonly name: string; readonly schedule: string }[],
): string {
  return formatTable(
    ['OF', 'NAME', 'SCHEDULE (UTC)'],
    rows.map(({ kind, name, schedule }) => [kind, name, schedule]),
  );
}

function parsed({ policy_json }: StoragePolicyStatus__Output): StoragePolicy {
  return JSON.parse(policy_json) as StoragePolicy;
}

const words = { Equal: 'exactly', Minimum: 'at least', Maximum: 'at most' } as const;

function ruleText(
  rule: NumberRule | undefined,
  format: (value: number) => string,
): string | undefined {
  return rule === undefined ? undefined : `${words[rule.operator]} ${format(rule.value)}`;
}

function placementLines(placement: PolicyPlacement): (readonly [string, string])[] {
  const kinds = [
    ['Replica affinity', placement.replicaAffinity],
    ['Replica anti-affinity', placement.replicaAntiAffinity],
    ['Volume affinity', placement.volumeAffinity],
    ['Volume anti-affinity', placement.volumeAntiAffinity],
  ] as const;
  return kinds.flatMap(([name, rules = []]) =>
    rules.map((rule) => [name, affinityText(rule)] as const),
  );
}

function affinityText({
  enforcement,
  weight,
  topologyKey,
  matchExpressions,
}: AffinityRule): string {
  const expressions = (matchExpressions ?? []).map(({ key, operator, values = [] }) =>
    `${key} ${operator} ${values.join(',')}`.trim(),
  );
  return [
    enforcement === 'preferred' ? `preferred (${weight ?? 100})` : enforcement,
    ...(topologyKey === undefined ? [] : [`by ${topologyKey}`]),
    ...expressions,
  ].join('; ');
}

function violationText({ violations }: StoragePolicyStatus__Output): string {
  if (violations.length === 0) return '\tNo volume breaks a rule.';
  const rows = violations.map(({ volume_name, rule, message }) => [volume_name, rule, message]);
  return ['\tViolations:', formatTable(['VOLUME', 'RULE', 'WHAT'], rows, '\t\t')].join('\n');
}
