import type { VolumeRecord } from '../src/kernel/volume-record.js';
import type { KvCasOutcome, KvPort, KvRead } from '../src/dataplane/protocol/record-updater.js';
import type { Random } from './random.js';
import type { Scheduler } from './scheduler.js';

export interface KvMood {
  minDelayMs: number;
  maxDelayMs: number;
  /** Chance that an answer is lost; the transaction may have gone through, or do so later. */
  lostAnswerChance: number;
  /** The store answers nobody. */
  away: boolean;
}

const timeoutMs = 120;

/** etcd with one key: the volume's record, with its modification revision. */
export class SimKv {
  readonly mood: KvMood = { minDelayMs: 0.5, maxDelayMs: 4, lostAnswerChance: 0, away: false };
  /** Machines that can't reach the store. */
  readonly cutOff = new Set<number>();
  revision = 1;
  /** Transactions whose asker was told nothing and which are still on their way. */
  lateTransactions = 0;
  private value: string;
  private parsed: VolumeRecord;

  constructor(
    private readonly scheduler: Scheduler,
    private readonly random: Random,
    record: VolumeRecord,
    private readonly onChange: (record: VolumeRecord) => void,
  ) {
    this.parsed = record;
    this.value = JSON.stringify(record);
  }

  /** The truth, for the checker. */
  get record(): VolumeRecord {
    return this.parsed;
  }

  /** How one process reaches the store; `run` is its executor's. */
  port(machine: number, run: (event: () => void) => void): KvPort {
    return {
      get: (_key, callback) => this.get(machine, (read) => run(() => callback(read))),
      compareAndSet: (_key, revision, value, callback) =>
        this.compareAndSet(machine, revision, value, (outcome) => run(() => callback(outcome))),
    };
  }

  private get(machine: number, callback: (read: KvRead) => void): void {
    this.scheduler.after(this.delay(), () => {
      if (!this.reaches(machine) || this.random.chance(this.mood.lostAnswerChance)) {
        this.scheduler.after(timeoutMs, () => callback({ outcome: 'failed' }));
        return;
      }
      const read: KvRead = { outcome: 'found', value: this.value, revision: this.revision };
      this.scheduler.after(this.delay(), () => callback(read));
    });
  }

  private compareAndSet(
    machine: number,
    revision: number,
    value: string,
    callback: (outcome: KvCasOutcome) => void,
  ): void {
    this.scheduler.after(this.delay(), () => {
      if (!this.reaches(machine)) {
        this.scheduler.after(timeoutMs, () => callback('unknown'));
        return;
      }
      if (this.random.chance(this.mood.lostAnswerChance)) {
        // Lost on its way there, lost on its way back, or so slow that it arrives afterwards.
        const fate = this.random.int(3);
        if (fate === 0) this.apply(revision, value);
        if (fate === 1) {
          this.lateTransactions++;
          this.scheduler.after(this.random.between(0, 400), () => {
            this.lateTransactions--;
            this.apply(revision, value);
          });
        }
        this.scheduler.after(timeoutMs, () => callback('unknown'));
        return;
      }
      const outcome = this.apply(revision, value);
      this.scheduler.after(this.delay(), () => callback(outcome));
    });
  }

  private apply(revision: number, value: string): KvCasOutcome {
    if (revision !== this.revision) return 'conflict';
    this.revision++;
    this.value = value;
    this.parsed = JSON.parse(value) as VolumeRecord;
    this.onChange(this.parsed);
    return 'ok';
  }

  private reaches(machine: number): boolean {
    return !this.mood.away && !this.cutOff.has(machine);
  }

  private delay(): number {
    return this.random.between(this.mood.minDelayMs, this.mood.maxDelayMs);
  }
}
