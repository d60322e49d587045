import type { SlotTable } from './ops.js';
import type { RequestTable } from './request-table.js';

/**
 * A range in which no mutation starts while it is held; granted when those at
 * work have ended and no other lock is held on any of it.
 */
export interface RangeLock {
  readonly offset: number;
  readonly length: number;
  held: boolean;
  readonly onHeld: (lock: RangeLock) => void;
}

/** Which ranges are being changed, and which are held still for a comparison (rule W4). */
export class RangeLocks {
  private locks: RangeLock[] = [];

  constructor(
    private readonly slots: SlotTable,
    private readonly requests: RequestTable,
  ) {}

  get anyLock(): boolean {
    return this.locks.length > 0;
  }

  /** True while a mutation of this range has to wait. */
  isBusy(offset: number, length: number): boolean {
    return this.overlapsMutation(offset, length) || this.overlapsLock(offset, length);
  }

  overlapsMutation(offset: number, length: number): boolean {
    const { mutations } = this.requests;
    for (let at = 0; at < mutations.size; at += 1) {
      if (this.touches(mutations.at(at), offset, length)) return true;
    }
    return false;
  }

  /** `onHeld` may be called before this returns. */
  lock(offset: number, length: number, onHeld: (lock: RangeLock) => void): RangeLock {
    const lock: RangeLock = { offset, length, held: false, onHeld };
    this.locks.push(lock);
    this.grant();
    return lock;
  }

  unlock(lock: RangeLock): void {
    this.locks = this.locks.filter((candidate) => candidate !== lock);
  }

  grant(): void {
    if (this.locks.length === 0) return;
    for (const lock of [...this.locks]) {
      if (lock.held || this.isChanging(lock)) continue;
      lock.held = true;
      lock.onHeld(lock);
    }
  }

  clear(): void {
    this.locks = [];
  }

  /**
   * A mutation that failed everywhere changes nothing any more; it waits for a
   * lock itself, to be made equal.
   */
  private isChanging({ offset, length }: RangeLock): boolean {
    const { mutations, assigned } = this.requests;
    for (let at = 0; at < mutations.size; at += 1) {
      const slot = mutations.at(at);
      if (assigned[slot] !== 0 && this.touches(slot, offset, length)) return true;
    }
    return this.locks.some(
      (lock) => lock.held && lock.offset < offset + length && offset < lock.offset + lock.length,
    );
  }

  private touches(slot: number, offset: number, length: number): boolean {
    const start = this.slots.offset[slot];
    return start < offset + length && offset < start + this.slots.length[slot];
  }

  /** Waiting locks count too, or a busy range would starve them. */
  private overlapsLock(offset: number, length: number): boolean {
    for (let at = 0; at < this.locks.length; at += 1) {
      const lock = this.locks[at];
      if (lock.offset < offset + length && offset < lock.offset + lock.length) return true;
    }
    return false;
  }
}
