import { OpKind, Status } from './ops.js';
import type { ReplicaCore } from './replica-core.js';

/**
 * The way of a mutation through a replica: its chunk's mark is made durable,
 * then it is noted in the ring, and then the store carries it out (rule M1).
 */
export class ReplicaWrites {
  /** Mutations that wait until the marks of their chunks are durable, oldest first. */
  private readonly unmarked: number[] = [];
  private marksRequested = false;

  constructor(private readonly core: ReplicaCore) {}

  mutate(slot: number): void {
    const { core } = this;
    if (core.failed || core.outside(slot)) {
      core.reply(slot, core.failed ? Status.ioError : Status.invalid);
      return;
    }
    const { slots } = core.deps;
    const offset = slots.offset[slot];
    const length = slots.length[slot];
    if (core.marks.cover(offset, length) || core.faults.has('marks_dropped')) {
      this.carryOut(slot);
      return;
    }
    // The mark must be durable first: after a power cut it alone tells where this replica may differ.
    this.waitForMark(slot, offset, length);
  }

  /** The session has ended: none of its mutations is carried out after a newer one was answered. */
  forget(): void {
    this.unmarked.length = 0;
  }

  private waitForMark(slot: number, offset: number, length: number): void {
    this.core.marks.set(offset, length);
    this.unmarked.push(slot);
    if (this.marksRequested) return;
    this.marksRequested = true;
    this.core.marks.persist(() => {
      this.marksRequested = false;
      this.carryOutMarked();
    });
  }

  private carryOut(slot: number): void {
    const { slots, store } = this.core.deps;
    const offset = slots.offset[slot];
    const length = slots.length[slot];
    const seq = slots.seq[slot];
    if (seq > 0) this.core.ring.record(seq, offset, length);
    const status =
      slots.kind[slot] === OpKind.write
        ? store.write(slots.address(slot), offset, length)
        : store.zero(offset, length);
    this.core.reply(slot, status);
  }

  private carryOutMarked(): void {
    const { core } = this;
    const { slots } = core.deps;
    const waiting = this.unmarked.splice(0);
    const { session } = core;
    for (const slot of waiting) {
      // An answer may have ended the session: the rest is no longer ours to carry out.
      if (session !== core.session) return;
      const offset = slots.offset[slot];
      const length = slots.length[slot];
      if (core.failed) core.reply(slot, Status.ioError);
      else if (core.marks.cover(offset, length)) this.carryOut(slot);
      // It was cleared again while it was being saved.
      else this.waitForMark(slot, offset, length);
    }
  }
}
