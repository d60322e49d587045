/**
 * What a replica remembers across a crash of its process, but not of its
 * machine, in a `Float64Array` that the kernel keeps (a mapped file):
 *
 * - which mutations may not be complete on every replica (a ring of the last
 *   ones, with the coordinator's word on how far everything is complete),
 * - which read lease it granted last, in the machine's monotonic milliseconds, and
 * - whether its store has failed.
 *
 * The ring lets the next coordinator make only those ranges equal before it
 * serves; the lease tells it how long the previous one may still serve reads.
 */
const headerLength = 16;
const entryLength = 4;

/** The coordinator never has more mutations between "complete" and "newest". */
export const ringCapacity = 1024;

export const scratchLength = headerLength + ringCapacity * entryLength;

const Field = {
  ringEpoch: 0,
  ringCompleted: 1,
  liveEpoch: 2,
  liveCompleted: 3,
  leaseEpoch: 4,
  leaseUntil: 5,
  olderLeaseUntil: 6,
  storeFailed: 7,
  lost: 8,
} as const;

export class OpRing {
  constructor(private readonly memory: Float64Array) {}

  /** Forgets everything; used when the memory was lost. */
  reset(): void {
    this.memory.fill(0);
    this.memory[Field.lost] = 1;
  }

  /** Mutations that it does not tell of may not be complete everywhere; true until `adopt`. */
  get lost(): boolean {
    return this.memory[Field.lost] === 1;
  }

  /** A session of this epoch begins. Entries of earlier epochs stay until `adopt`. */
  beginEpoch(epoch: number): void {
    if (this.memory[Field.liveEpoch] === epoch) return;
    // In this order: a process killed between the two must see too many entries, never too few.
    this.memory[Field.liveCompleted] = 0;
    this.memory[Field.liveEpoch] = epoch;
  }

  /** Everything of earlier epochs has been made equal: only this epoch's entries count now. */
  adopt(): void {
    this.memory[Field.lost] = 0;
    this.memory[Field.ringEpoch] = this.memory[Field.liveEpoch];
    this.memory[Field.ringCompleted] = this.memory[Field.liveCompleted];
  }

  completed(seq: number): void {
    if (seq <= this.memory[Field.liveCompleted]) return;
    this.memory[Field.liveCompleted] = seq;
    if (this.memory[Field.ringEpoch] === this.memory[Field.liveEpoch]) {
      this.memory[Field.ringCompleted] = seq;
    }
  }

  /** Remembers a mutation before it is carried out. */
  record(seq: number, offset: number, length: number): void {
    const at = headerLength + (seq % ringCapacity) * entryLength;
    this.memory[at] = this.memory[Field.liveEpoch];
    this.memory[at + 1] = seq;
    this.memory[at + 2] = offset;
    this.memory[at + 3] = length;
  }

  /** offset, length, offset, length… of what may not be complete everywhere. */
  ranges(): number[] {
    const result: number[] = [];
    for (let at = headerLength; at < scratchLength; at += entryLength) {
      const epoch = this.memory[at];
      const seq = this.memory[at + 1];
      if (seq === 0) continue;
      const open =
        (epoch === this.memory[Field.ringEpoch] && seq > this.memory[Field.ringCompleted]) ||
        (epoch === this.memory[Field.liveEpoch] && seq > this.memory[Field.liveCompleted]);
      if (open) result.push(this.memory[at + 2], this.memory[at + 3]);
    }
    return result;
  }

  grantLease(epoch: number, until: number): void {
    this.memory[Field.leaseEpoch] = epoch;
    this.memory[Field.leaseUntil] = until;
  }

  /**
   * The store has dropped what it could not write. Known at once, because a
   * process that ends before the meta says so must not be believed afterwards.
   */
  noteStoreFailed(failed: boolean): void {
    this.memory[Field.storeFailed] = failed ? 1 : 0;
  }

  get storeFailed(): boolean {
    return this.memory[Field.storeFailed] === 1;
  }

  /**
   * A coordinator of `epoch` takes over: what earlier ones were granted now
   * counts as older. Returns the time at which the last of it ends.
   */
  supersedeLeases(epoch: number, previousOwnerDead: boolean): number {
    const leaseEpoch = this.memory[Field.leaseEpoch];
    if (leaseEpoch < epoch) {
      const forget = previousOwnerDead && leaseEpoch === epoch - 1;
      if (!forget) {
        this.memory[Field.olderLeaseUntil] = Math.max(
          this.memory[Field.olderLeaseUntil],
          this.memory[Field.leaseUntil],
        );
      }
      this.grantLease(epoch, 0);
    }
    return this.memory[Field.olderLeaseUntil];
  }

  /** When the last lease that any coordinator was granted ends. */
  get leasedUntil(): number {
    return Math.max(this.memory[Field.leaseUntil], this.memory[Field.olderLeaseUntil]);
  }

  /** After the memory was lost: anybody may hold a lease that ends at `until`. */
  assumeLease(until: number): void {
    this.memory[Field.olderLeaseUntil] = until;
  }
}
