import type { Logger } from '../../platform/logger.js';
import { monotonicMs } from '../../platform/monotonic.js';
import type { KvEvent, Kvdb, KvKeys, KvWatch } from '../kvdb/port.js';
import { ChangeLog } from './change-log.js';
import { changedState, emptyState, type ClusterState, type StateChange } from './cluster-state.js';

export type { ClusterState } from './cluster-state.js';

/** Hints come in bursts (an attach changes its record several times). */
const settleMs = 100;

/** A store that was put back from a backup can't be told by its revisions alone. */
const fullReadMs = 60_000;

/** A change is told within a millisecond or two; a machine that is busy may take longer. */
const tellMs = 50;

/** Another's writes to the same store, which nobody tells us, come again soon. */
const foreignMs = 10_000;

/**
 * A copy of the cluster's state, kept by what a watch tells. etcd looks at every
 * key of a range, whatever it answers, so that with thousands of volumes even
 * "what has changed?" takes it tens of milliseconds: a reader asks for the
 * store's revision only and waits until the watch has told as much. Where it
 * has not (it has just begun, it is silent, or the change was not ours), what
 * changed is read; a deletion shows in the number of keys, and then the names
 * of all keys are read.
 */
export class ClusterView {
  private state: ClusterState = emptyState;
  private keysRead = new Set<string>();
  private revision = 0;
  private readonly log = new ChangeLog();
  private foreignUntilMs = 0;
  private fullReadAtMs = 0;
  private reading: Promise<ClusterState> | undefined;
  private queued: Promise<ClusterState> | undefined;
  private watch: KvWatch | undefined;
  private timer: NodeJS.Timeout | undefined;
  private readonly listeners: ((state: ClusterState) => void)[] = [];

  constructor(
    private readonly kvdb: Kvdb,
    private readonly keys: KvKeys,
    private readonly logger: Logger,
  ) {}

  start(): void {
    this.watch = this.kvdb.watch(this.keys.root, () => this.hint(), this.log);
  }

  close(): void {
    this.watch?.close();
    clearTimeout(this.timer);
    this.timer = undefined;
    this.watch = undefined;
  }

  /** What was read last; old while the kvdb is away. */
  cached(): ClusterState {
    return this.state;
  }

  /**
   * As of now; rejects with `kvdb_unavailable`. Callers that come while a read
   * is at work share the next one: a read shows what was true when it began.
   */
  fresh(): Promise<ClusterState> {
    this.queued ??= this.readNext();
    return this.queued;
  }

  /** As of now, or what was read last while the kvdb does not answer. */
  async best(): Promise<ClusterState> {
    try {
      return await this.fresh();
    } catch (error) {
      if (this.state.readAtMs === 0) throw error;
      return this.state;
    }
  }

  /** Runs after each read that found something changed. */
  onChange(listener: (state: ClusterState) => void): void {
    this.listeners.push(listener);
  }

  private hint(): void {
    if (this.timer !== undefined || this.watch === undefined) return;
    this.timer = setTimeout(() => {
      this.timer = undefined;
      this.fresh().catch((error: unknown) => {
        this.logger.debug('the cluster state could not be read', { error });
      });
    }, settleMs);
    this.timer.unref();
  }

  private async readNext(): Promise<ClusterState> {
    await this.reading?.catch(() => undefined);
    const reading = this.read();
    this.reading = reading;
    this.queued = undefined;
    return reading;
  }

  private async read(): Promise<ClusterState> {
    const before = this.state;
    const whole = this.revision === 0 || monotonicMs() - this.fullReadAtMs > fullReadMs;
    if (whole || !(await this.readChanges())) await this.readAll();
    const after = { ...this.state, readAtMs: before.readAtMs };
    const same = (Object.keys(after) as (keyof ClusterState)[]).every(
      (part) => after[part] === before[part],
    );
    if (!same) for (const listener of this.listeners) listener(this.state);
    return this.state;
  }

  private async readAll(): Promise<void> {
    const { entries, revision } = await this.kvdb.list(this.keys.root);
    this.keysRead = new Set(entries.map(({ key }) => key));
    this.state = this.changed(emptyState, entries);
    this.revision = revision;
    this.fullReadAtMs = this.state.readAtMs;
  }

  /** False when a whole read is needed. */
  private async readChanges(): Promise<boolean> {
    const head = await this.kvdb.revision();
    // A store that was put back from a backup.
    if (head < this.revision) return false;
    if (await this.follow(head)) return true;
    const before = this.revision;
    const { entries, revision, count } = await this.kvdb.listSince(this.keys.root, before);
    if (revision < before) return false;
    for (const { key } of entries) this.keysRead.add(key);
    this.state = this.changed(this.state, entries);
    this.revision = revision;
    if (this.keysRead.size !== count) return this.dropDeleted();
    if (entries.length === 0) this.foreignUntilMs = monotonicMs() + foreignMs;
    return true;
  }

  /** Takes what the watch has told; false when that is not everything up to the revision. */
  private async follow(head: number): Promise<boolean> {
    if (head > this.revision) {
      const patienceMs = monotonicMs() < this.foreignUntilMs ? 0 : tellMs;
      if (!(await this.log.reach(head, patienceMs))) return false;
    }
    const events = this.log.take(this.revision);
    if (events === undefined) {
      if (head > this.revision) return false;
      this.state = { ...this.state, readAtMs: monotonicMs() };
      return true;
    }
    this.apply(events, head);
    return true;
  }

  private apply(events: readonly KvEvent[], head: number): void {
    for (const { key, value } of events) {
      if (value === undefined) this.keysRead.delete(key);
      else this.keysRead.add(key);
    }
    this.state = this.changed(this.state, events);
    this.revision = events.reduce((last, event) => Math.max(last, event.modRevision), head);
  }

  /** What was put since the names were read is found by the next read of changes. */
  private async dropDeleted(): Promise<boolean> {
    const { keys, revision } = await this.kvdb.listKeys(this.keys.root);
    if (revision < this.revision) return false;
    const there = new Set(keys);
    const gone = [...this.keysRead].filter((key) => !there.has(key));
    for (const key of gone) this.keysRead.delete(key);
    this.state = this.changed(
      this.state,
      gone.map((key) => ({ key, value: undefined })),
    );
    return true;
  }

  private changed(before: ClusterState, changes: readonly StateChange[]): ClusterState {
    const { keys, logger } = this;
    return changedState(before, changes, { keys, logger, readAtMs: monotonicMs() });
  }
}
