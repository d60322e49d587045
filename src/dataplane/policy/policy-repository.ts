import { PxError } from '../../kernel/errors.js';
import type { StoragePolicy } from '../../kernel/storage-policy.js';
import { delay, monotonicMs } from '../../platform/monotonic.js';
import type { KvChange, KvCompare, KvEntry, Kvdb, KvKeys } from '../kvdb/port.js';
import { canonicalJson } from './policy-digest.js';
import { formatEntry, parseEntry, type Policies, type PolicyEntry } from './policy-entry.js';

const changeTimeoutMs = 15_000;
const retryMs = 200;

/**
 * The policies in etcd. That at most one is the default is kept by a key of
 * its own, which is compared in the same transaction.
 */
export class PolicyRepository {
  constructor(
    private readonly kvdb: Kvdb,
    private readonly keys: KvKeys,
    private readonly now: () => Date = () => new Date(),
  ) {}

  /** As of now, ordered by name. */
  async all(): Promise<Policies> {
    const { entries } = await this.kvdb.list(this.keys.policies);
    const policies = new Map<string, PolicyEntry>();
    for (const { key, value } of entries) {
      const name = key.slice(this.keys.policies.length);
      policies.set(name, parseEntry(name, value));
    }
    return policies;
  }

  /** Creates or replaces; the same again changes nothing. */
  async put(name: string, policy: StoragePolicy, owner: string): Promise<PolicyEntry> {
    return this.change(name, (stored, holder) => {
      if (stored !== undefined) checkOwner(stored, owner, false);
      if (policy.default && holder !== undefined && holder.value !== name) {
        throw new PxError(
          'failed_precondition',
          `default: the storage policy "${holder.value}" is the default already; at most one can be`,
          { field: 'default', policy: holder.value },
        );
      }
      const entry = this.entryOf(name, policy, owner, stored);
      const same = stored !== undefined && formatEntry(stored) === formatEntry(entry);
      const changes: KvChange[] = same
        ? []
        : [{ type: 'put', key: this.keys.policy(name), value: formatEntry(entry) }];
      if (policy.default && holder === undefined) {
        changes.push({ type: 'put', key: this.keys.defaultPolicy, value: name });
      }
      if (!policy.default && holder?.value === name) {
        changes.push({ type: 'delete', key: this.keys.defaultPolicy });
      }
      return { changes, result: entry };
    });
  }

  /** Deleting what is not there succeeds. */
  async delete(name: string, owner: string, force: boolean): Promise<void> {
    await this.change(name, (stored, holder) => {
      if (stored !== undefined) checkOwner(stored, owner, force);
      const changes: KvChange[] =
        stored === undefined ? [] : [{ type: 'delete', key: this.keys.policy(name) }];
      if (holder?.value === name) changes.push({ type: 'delete', key: this.keys.defaultPolicy });
      return { changes, result: undefined };
    });
  }

  private entryOf(
    name: string,
    policy: StoragePolicy,
    owner: string,
    stored: PolicyEntry | undefined,
  ): PolicyEntry {
    const sameSchedule =
      stored !== undefined &&
      canonicalJson(stored.policy.snapshotSchedule) === canonicalJson(policy.snapshotSchedule);
    const scheduleSince = sameSchedule ? stored.scheduleSince : this.now().toISOString();
    return { name, policy, owner, scheduleSince };
  }

  private async change<T>(
    name: string,
    plan: (
      stored: PolicyEntry | undefined,
      holder: KvEntry | undefined,
    ) => { changes: readonly KvChange[]; result: T },
  ): Promise<T> {
    const { keys } = this;
    const endMs = monotonicMs() + changeTimeoutMs;
    for (;;) {
      const [entry, holder] = [
        await this.kvdb.get(keys.policy(name)),
        await this.kvdb.get(keys.defaultPolicy),
      ];
      const stored = entry === undefined ? undefined : parseEntry(name, entry.value);
      const { changes, result } = plan(stored, holder);
      if (changes.length === 0) return result;
      const compares: KvCompare[] = [
        { key: keys.policy(name), modRevision: entry?.modRevision ?? 0 },
        { key: keys.defaultPolicy, modRevision: holder?.modRevision ?? 0 },
      ];
      const { outcome } = await this.kvdb.txn(compares, changes);
      if (outcome === 'ok') return result;
      if (monotonicMs() > endMs) {
        throw new PxError(
          'kvdb_unavailable',
          `the storage policy "${name}" could not be changed in time; try again`,
        );
      }
      if (outcome === 'unknown') await delay(retryMs);
    }
  }
}

/** What the operator keeps it would put back: a change there must be made in the resource. */
function checkOwner(stored: PolicyEntry, owner: string, force: boolean): void {
  if (stored.owner === '' || stored.owner === owner || force) return;
  throw new PxError(
    'failed_precondition',
    `the storage policy "${stored.name}" is kept by ${stored.owner}: change its StoragePolicy resource instead`,
    { policy: stored.name, owner: stored.owner },
  );
}
