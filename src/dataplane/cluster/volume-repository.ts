import { PxError } from '../../kernel/errors.js';
import type { ReplicaRecord, VolumeRecord } from '../../kernel/volume-record.js';
import { delay, monotonicMs } from '../../platform/monotonic.js';
import type { Kvdb, KvChange, KvKeys } from '../kvdb/port.js';

export interface StoredVolume {
  readonly record: VolumeRecord;
  readonly revision: number;
}

/** How long a change is tried again over conflicts and lost answers. */
const changeTimeoutMs = 15_000;
const retryMs = 200;

/**
 * Volumes' records. Each change is a compare-and-set on what was read, and
 * a lost answer is followed by a read: it may have gone through.
 */
export class VolumeRepository {
  constructor(
    private readonly kvdb: Kvdb,
    private readonly keys: KvKeys,
  ) {}

  async find(idOrName: string): Promise<StoredVolume | undefined> {
    const byId = await this.get(idOrName);
    if (byId !== undefined) return byId;
    const named = await this.kvdb.get(this.keys.volumeName(idOrName));
    return named === undefined ? undefined : this.get(named.value);
  }

  async get(id: string): Promise<StoredVolume | undefined> {
    const entry = await this.kvdb.get(this.keys.volume(id));
    if (entry === undefined) return undefined;
    return { record: parseVolumeRecord(entry.value, id), revision: entry.modRevision };
  }

  async require(idOrName: string): Promise<StoredVolume> {
    const found = await this.find(idOrName);
    if (found === undefined || found.record.lifecycle === 'deleting') throw noVolume(idOrName);
    return found;
  }

  /** Ordered by id. */
  async list(): Promise<StoredVolume[]> {
    const { entries } = await this.kvdb.list(this.keys.volumes);
    return entries.map((entry) => ({
      record: parseVolumeRecord(entry.value, entry.key.slice(this.keys.volumes.length)),
      revision: entry.modRevision,
    }));
  }

  /**
   * Puts a new record and its name in one transaction. Answers the volume that
   * owns the name: the given one, or the one that came first.
   */
  async create(record: VolumeRecord): Promise<StoredVolume> {
    const nameKey = this.keys.volumeName(record.name);
    const endMs = monotonicMs() + changeTimeoutMs;
    for (;;) {
      const outcome = await this.kvdb.txn(
        [
          { key: nameKey, modRevision: 0 },
          { key: this.keys.volume(record.id), modRevision: 0 },
        ],
        [
          { type: 'put', key: nameKey, value: record.id },
          { type: 'put', key: this.keys.volume(record.id), value: JSON.stringify(record) },
        ],
      );
      if (outcome.outcome === 'ok') return { record, revision: outcome.revision };
      const owner = await this.kvdb.get(nameKey);
      const owned = owner === undefined ? undefined : await this.get(owner.value);
      if (owned !== undefined) return owned;
      if (monotonicMs() > endMs) throw undecided(`the record of "${record.name}"`);
      await delay(retryMs);
    }
  }

  /**
   * Applies `change` to the record as it is now. `change` answers undefined
   * when nothing needs to change, and throws to refuse; it may run several times.
   */
  async update(
    id: string,
    change: (record: VolumeRecord) => VolumeRecord | undefined,
  ): Promise<VolumeRecord> {
    const endMs = monotonicMs() + changeTimeoutMs;
    for (;;) {
      const stored = await this.get(id);
      if (stored === undefined) throw noVolume(id);
      const changed = change(stored.record);
      if (changed === undefined) return stored.record;
      if (await this.swap(stored, [this.put(changed)])) return changed;
      if (monotonicMs() > endMs) throw undecided(`the record of "${id}"`);
    }
  }

  /** Marks the volume as going and frees its name for a new one, in one transaction. */
  async markDeleting(
    id: string,
    allowed: (record: VolumeRecord) => void,
  ): Promise<VolumeRecord | undefined> {
    const endMs = monotonicMs() + changeTimeoutMs;
    for (;;) {
      const stored = await this.get(id);
      if (stored === undefined) return undefined;
      if (stored.record.lifecycle === 'deleting') return stored.record;
      allowed(stored.record);
      const changed: VolumeRecord = {
        ...stored.record,
        lifecycle: 'deleting',
        // Those that left before and whose nodes have not deleted them yet go the same way.
        replicas: [...stored.record.replicas, ...leaversOf(stored.record)],
        leavers: [],
        // A coordinator that lives on behind a partition is fenced by this.
        epoch: stored.record.epoch + 1,
        attachedOn: '',
        attachToken: '',
      };
      const freeName: KvChange = {
        type: 'delete',
        key: this.keys.volumeName(stored.record.name),
      };
      if (await this.swap(stored, [this.put(changed), freeName])) return changed;
      if (monotonicMs() > endMs) throw undecided(`the deletion of "${id}"`);
    }
  }

  /** A node's replica of a deleted volume is gone; the last one takes the record along. */
  async dropReplica(id: string, replicaId: string): Promise<void> {
    const endMs = monotonicMs() + changeTimeoutMs;
    for (;;) {
      const stored = await this.get(id);
      if (stored === undefined) return;
      if (stored.record.lifecycle !== 'deleting') {
        throw new PxError('failed_precondition', `volume "${id}" is not being deleted`);
      }
      const replicas = stored.record.replicas.filter((replica) => replica.id !== replicaId);
      const change: KvChange =
        replicas.length === 0
          ? { type: 'delete', key: this.keys.volume(id) }
          : this.put({ ...stored.record, replicas });
      if (await this.swap(stored, [change])) return;
      if (monotonicMs() > endMs) throw undecided(`the deletion of "${id}"`);
    }
  }

  private put(record: VolumeRecord): KvChange {
    return { type: 'put', key: this.keys.volume(record.id), value: JSON.stringify(record) };
  }

  /** False when it must be looked at again. */
  private async swap(stored: StoredVolume, changes: readonly KvChange[]): Promise<boolean> {
    const outcome = await this.kvdb.txn(
      [{ key: this.keys.volume(stored.record.id), modRevision: stored.revision }],
      changes,
    );
    if (outcome.outcome === 'unknown') await delay(retryMs);
    return outcome.outcome === 'ok';
  }
}

function leaversOf(record: VolumeRecord): ReplicaRecord[] {
  return (record.leavers ?? []).map((leaver) => ({ ...leaver, state: 'out' }));
}

export function noVolume(idOrName: string): PxError {
  return new PxError('not_found', `there is no volume "${idOrName}"`, { volume: idOrName });
}

function undecided(what: string): PxError {
  return new PxError('kvdb_unavailable', `${what} could not be changed in time; try again`);
}

export function parseVolumeRecord(value: string, id: string): VolumeRecord {
  const record = JSON.parse(value) as VolumeRecord | null;
  if (record === null || record.id !== id) {
    throw new PxError('internal', `the record of volume "${id}" in the kvdb is damaged`);
  }
  return record;
}
