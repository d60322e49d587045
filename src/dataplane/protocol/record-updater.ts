import type { VolumeRecord } from '../../kernel/volume-record.js';
import type { RecordOutcome } from './ports.js';
import { applyChange, type RecordChange } from './record-changes.js';

/** What a linearizable read of one key gave; `failed` when nothing was learnt. */
export type KvRead =
  | { readonly outcome: 'found'; readonly value: string; readonly revision: number }
  | { readonly outcome: 'absent' }
  | { readonly outcome: 'failed' };

/**
 * `unknown`: the transaction may have gone through, may do so later, or never
 * will (a time-out, a lost connection, a leader that was deposed).
 */
export type KvCasOutcome = 'ok' | 'conflict' | 'unknown';

/** The key-value store as the updater needs it. Every call is answered exactly once. */
export interface KvPort {
  get(key: string, callback: (read: KvRead) => void): void;
  /** Writes `value` if the key's modification revision is still `revision`. */
  compareAndSet(
    key: string,
    revision: number,
    value: string,
    callback: (outcome: KvCasOutcome) => void,
  ): void;
}

export interface TimerPort {
  after(delayMs: number, callback: () => void): void;
}

export interface RecordUpdaterDeps {
  readonly kv: KvPort;
  readonly timer: TimerPort;
  keyOf(volumeId: string): string;
}

interface PendingChange {
  readonly change: RecordChange;
  readonly done: (outcome: RecordOutcome) => void;
}

const firstBackoffMs = 50;
const lastBackoffMs = 2000;

/**
 * Brings changes into volumes' records, however long it takes.
 *
 * An answer is given only when the effect is known. A transaction of unknown
 * outcome is followed by a read. If the read shows the old revision, the next
 * transaction is conditional on the same revision as the lost one, so at most
 * one of the two can ever go through; if it shows a newer revision, the lost
 * one can't go through any more. Either way what was read decides.
 */
export class RecordUpdater {
  private readonly queues = new Map<string, PendingChange[]>();

  constructor(private readonly deps: RecordUpdaterDeps) {}

  /** `done` is called exactly once, never from within this call unless the store answers so. */
  request(volumeId: string, change: RecordChange, done: (outcome: RecordOutcome) => void): void {
    const queue = this.queues.get(volumeId);
    if (queue !== undefined) {
      queue.push({ change, done });
      return;
    }
    this.queues.set(volumeId, [{ change, done }]);
    this.attempt(volumeId, firstBackoffMs);
  }

  /** True while a change of this volume has no known outcome. */
  isBusy(volumeId: string): boolean {
    return this.queues.has(volumeId);
  }

  private attempt(volumeId: string, backoffMs: number): void {
    this.deps.kv.get(this.deps.keyOf(volumeId), (read) => {
      this.onRead(volumeId, read, backoffMs);
    });
  }

  private onRead(volumeId: string, read: KvRead, backoffMs: number): void {
    const pending = this.head(volumeId);
    if (read.outcome === 'failed') {
      this.retryLater(volumeId, backoffMs);
      return;
    }
    if (read.outcome === 'absent') {
      // A deleted volume's key is never made again, so no owner of it remains.
      this.finish(volumeId, { change: pending.change, result: 'fenced' });
      return;
    }
    const record = parseRecord(read.value, volumeId);
    if (record === null) {
      // Nothing can be decided on a record that can't be read; a repair may follow.
      this.retryLater(volumeId, backoffMs);
      return;
    }
    const applied = applyChange(record, pending.change);
    switch (applied.result) {
      case 'already':
        this.finish(volumeId, { change: pending.change, result: 'done', record });
        return;
      case 'fenced':
      case 'refused':
        this.finish(volumeId, { change: pending.change, result: applied.result, record });
        return;
      case 'changed':
        this.write(volumeId, read.revision, applied.record, backoffMs);
        return;
    }
  }

  private write(volumeId: string, revision: number, record: VolumeRecord, backoffMs: number): void {
    const value = JSON.stringify(record);
    this.deps.kv.compareAndSet(this.deps.keyOf(volumeId), revision, value, (outcome) => {
      switch (outcome) {
        case 'ok':
          this.finish(volumeId, { change: this.head(volumeId).change, result: 'done', record });
          return;
        case 'conflict':
          // Somebody else got on, so there is no need to wait.
          this.attempt(volumeId, backoffMs);
          return;
        case 'unknown':
          this.retryLater(volumeId, backoffMs);
          return;
      }
    });
  }

  private retryLater(volumeId: string, backoffMs: number): void {
    this.deps.timer.after(backoffMs, () => {
      this.attempt(volumeId, Math.min(backoffMs * 2, lastBackoffMs));
    });
  }

  private finish(volumeId: string, outcome: RecordOutcome): void {
    const queue = this.queues.get(volumeId) ?? [];
    const pending = queue.shift();
    const more = queue.length > 0;
    if (!more) this.queues.delete(volumeId);
    pending?.done(outcome);
    if (more) this.attempt(volumeId, firstBackoffMs);
  }

  private head(volumeId: string): PendingChange {
    const pending = this.queues.get(volumeId)?.[0];
    if (pending === undefined) throw new Error(`no change of volume ${volumeId} is pending`);
    return pending;
  }
}

function parseRecord(value: string, volumeId: string): VolumeRecord | null {
  try {
    const record = JSON.parse(value) as VolumeRecord | null;
    return record !== null && record.id === volumeId ? record : null;
  } catch {
    return null;
  }
}
