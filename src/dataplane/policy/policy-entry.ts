import { PxError } from '../../kernel/errors.js';
import type { StoragePolicy } from '../../kernel/storage-policy.js';
import type { VolumeRecord } from '../../kernel/volume-record.js';
import { digestOf } from './policy-digest.js';

/** A policy with what etcd keeps beside its rules. */
export interface PolicyEntry {
  readonly name: string;
  readonly policy: StoragePolicy;
  /** Who keeps it: `kubernetes` for the operator, '' for a person. */
  readonly owner: string;
  /** When its schedule became what it is: slots before that are not made up for. RFC 3339. */
  readonly scheduleSince: string;
}

export type Policies = ReadonlyMap<string, PolicyEntry>;

/** The value at `pwx/<clusterid>/policies/<name>`. */
export function formatEntry({ policy, owner, scheduleSince }: PolicyEntry): string {
  return JSON.stringify({ ...policy, owner, scheduleSince });
}

export function parseEntry(name: string, value: string): PolicyEntry {
  const stored = JSON.parse(value) as (StoragePolicy & Partial<PolicyEntry>) | null;
  if (stored === null || typeof stored.volume !== 'object') {
    throw new PxError('internal', `the storage policy "${name}" in the kvdb is damaged`);
  }
  const { owner = '', scheduleSince = '', ...policy } = stored;
  return { name, policy, owner, scheduleSince };
}

const revisions = new WeakMap<StoragePolicy, string>();

/** Changes with whatever a living volume may have to be brought to. */
export function revisionOf({ policy }: PolicyEntry): string {
  const known = revisions.get(policy);
  if (known !== undefined) return known;
  const { volume, placement } = policy;
  const revision = digestOf({ volume, placement });
  revisions.set(policy, revision);
  return revision;
}

export function defaultPolicy(policies: Policies): PolicyEntry | undefined {
  for (const entry of policies.values()) if (entry.policy.default) return entry;
  return undefined;
}

/**
 * The policy that rules a volume: the one it names, else the default. One that
 * was deleted leaves its volumes as they are, so its name governs nothing.
 */
export function governing(
  policies: Policies,
  record: Pick<VolumeRecord, 'spec' | 'readOnly'>,
): PolicyEntry | undefined {
  // A snapshot is a moment of another volume; there is nothing in it to rule.
  if (record.readOnly) return undefined;
  const name = record.spec.storagePolicy ?? '';
  return name === '' ? defaultPolicy(policies) : policies.get(name);
}

/** For a request: a name that means nothing is refused, with those that do. */
export function askedPolicy(policies: Policies, name: string): PolicyEntry | undefined {
  if (name === '') return defaultPolicy(policies);
  const found = policies.get(name);
  if (found !== undefined) return found;
  const names = [...policies.keys()].sort();
  const there = names.length === 0 ? 'there is none' : `there are ${names.join(', ')}`;
  throw new PxError('not_found', `storage_policy: there is no storage policy "${name}"; ${there}`, {
    field: 'storage_policy',
    policy: name,
  });
}
