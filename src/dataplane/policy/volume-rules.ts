import { PxError } from '../../kernel/errors.js';
import type { NumberRule, PolicyVolumeRules } from '../../kernel/storage-policy.js';
import type { VolumeSpecRecord } from '../../kernel/volume-record.js';
import type { PolicyEntry } from './policy-entry.js';

/** A volume as rules see it, living or only asked for. */
export interface RuledVolume {
  readonly sizeBytes: number;
  readonly spec: VolumeSpecRecord;
}

/** One rule that a volume breaks. */
export interface Breach {
  /** The rule's place in the policy, as `volume.replication`. */
  readonly rule: string;
  /** The field of a request that it speaks of. */
  readonly field: string;
  readonly message: string;
  /** What it becomes where the policy may change it: absent when it must not. */
  readonly remedy?: { readonly text: string; readonly volume: RuledVolume };
}

export interface Bounds {
  /** A caller's upper limit; Infinity for none. */
  readonly limitBytes: number;
  /** Rules about what the caller left open: the policy fills it in, also one that rejects. */
  readonly open?: ReadonlySet<string>;
}

/** The label in which a coerced volume says what its policy changed. */
export const coercedLabel = 'px.io/coerced-by-policy';

/** Devices count in 4 KiB blocks. */
const sizeUnitBytes = 4096;

/** Every rule of the policy that the volume breaks, in a fixed order. */
export function breachesOf(rules: PolicyVolumeRules, volume: RuledVolume): Breach[] {
  return [
    replicationBreach(rules, volume),
    sizeBreach(rules, volume),
    wordBreach('ioPriority', 'io_priority', rules.ioPriority, volume),
    wordBreach('ioProfile', 'io_profile', rules.ioProfile, volume),
    wordBreach('aggregationLevel', 'aggregation_level', rules.aggregationLevel, volume),
    wordBreach('sticky', 'sticky', rules.sticky, volume),
    ...labelBreaches(rules, volume),
  ].filter((breach) => breach !== undefined);
}

/**
 * What the policy makes of a request: the request itself when it keeps every
 * rule, a changed one (Coerce), or a refusal that names field and rule.
 */
export function enforce(entry: PolicyEntry, asked: RuledVolume, bounds: Bounds): RuledVolume {
  const { policy } = entry;
  let volume = asked;
  const changes: string[] = [];
  // Each remedy starts from what the one before left; none of them undoes another.
  for (const { rule } of breachesOf(policy.volume, asked)) {
    const breach = breachesOf(policy.volume, volume).find((candidate) => candidate.rule === rule);
    if (breach === undefined) continue;
    const mayChange = policy.enforcement === 'Coerce' || bounds.open?.has(rule) === true;
    if (!mayChange || breach.remedy === undefined) throw refusal(entry, breach);
    changes.push(breach.remedy.text);
    volume = breach.remedy.volume;
  }
  if (volume.sizeBytes > bounds.limitBytes) {
    throw refusal(entry, {
      rule: 'volume.sizeBytes',
      field: 'size_bytes',
      message: `it would have ${volume.sizeBytes} bytes, more than the limit of ${bounds.limitBytes}`,
    });
  }
  if (changes.length === 0) return volume;
  const labels = { ...volume.spec.labels, [coercedLabel]: `${entry.name}: ${changes.join(', ')}` };
  return { ...volume, spec: { ...volume.spec, labels } };
}

export function refusal(entry: PolicyEntry, { rule, field, message }: Breach): PxError {
  return new PxError(
    'invalid_argument',
    `${field}: storage policy "${entry.name}" (${rule}): ${message}`,
    { field, rule, policy: entry.name },
  );
}

/** What a number must become to keep the rule; the number itself when it does. */
export function ruledNumber(rule: NumberRule, value: number): number {
  if (rule.operator === 'Equal') return rule.value;
  return rule.operator === 'Minimum' ? Math.max(rule.value, value) : Math.min(rule.value, value);
}

function replicationBreach(rules: PolicyVolumeRules, volume: RuledVolume): Breach | undefined {
  const rule = rules.replication;
  const { replicas } = volume.spec;
  const wanted = rule === undefined ? replicas : ruledNumber(rule, replicas);
  if (rule === undefined || wanted === replicas) return undefined;
  return {
    rule: 'volume.replication',
    field: 'replicas',
    message: `must be ${words[rule.operator]} ${rule.value}, and is ${replicas}`,
    remedy: {
      text: `replication ${replicas} to ${wanted}`,
      volume: { ...volume, spec: { ...volume.spec, replicas: wanted } },
    },
  };
}

/**
 * A volume is never made smaller than asked for, nor one that lives shrunk:
 * CSI forbids to answer a request with less than its required bytes.
 */
function sizeBreach(rules: PolicyVolumeRules, volume: RuledVolume): Breach | undefined {
  if (rules.sizeBytes === undefined) return undefined;
  const { value, operator } = rules.sizeBytes;
  const roundedUp = Math.ceil(value / sizeUnitBytes) * sizeUnitBytes;
  const rule = { operator, value: operator === 'Maximum' ? value : roundedUp };
  const { sizeBytes } = volume;
  const wanted = ruledNumber(rule, sizeBytes);
  if (wanted === sizeBytes) return undefined;
  const breach = {
    rule: 'volume.sizeBytes',
    field: 'size_bytes',
    message: `must be ${words[operator]} ${value} bytes, and is ${sizeBytes}`,
  };
  if (wanted < sizeBytes) return breach;
  const text = `size ${sizeBytes} to ${wanted}`;
  return { ...breach, remedy: { text, volume: { ...volume, sizeBytes: wanted } } };
}

type WordRule = 'ioPriority' | 'ioProfile' | 'aggregationLevel' | 'sticky';

function wordBreach(
  key: WordRule,
  field: string,
  wanted: string | number | boolean | undefined,
  volume: RuledVolume,
): Breach | undefined {
  const is = volume.spec[key];
  if (wanted === undefined || wanted === is) return undefined;
  return {
    rule: `volume.${key}`,
    field,
    message: `must be ${wanted}, and is ${is}`,
    remedy: {
      text: `${key} ${is} to ${wanted}`,
      volume: { ...volume, spec: { ...volume.spec, [key]: wanted } },
    },
  };
}

function labelBreaches(rules: PolicyVolumeRules, volume: RuledVolume): Breach[] {
  const { labels } = volume.spec;
  const wrong = Object.entries(rules.labels ?? {}).filter(
    ([name, value]) => labels[name] !== value,
  );
  return wrong.map(([name, value]) => {
    const is = labels[name];
    return {
      rule: `volume.labels.${name}`,
      field: 'labels',
      message: `label "${name}" must be "${value}", and ${is === undefined ? 'is missing' : `is "${is}"`}`,
      remedy: {
        text: `label ${name}=${value}`,
        volume: { ...volume, spec: { ...volume.spec, labels: { ...labels, [name]: value } } },
      },
    };
  });
}

const words = { Equal: 'exactly', Minimum: 'at least', Maximum: 'at most' } as const;
