import type { SlotTable } from './ops.js';
import type { SlotList } from './slot-list.js';

/** A range in which no mutation starts while it is held; granted when those at work have ended. */
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
    private readonly mutations: SlotList,
  ) {}

  get anyLock(): boolean {
    return this.locks.length > 0;
  }

  /** True while a mutation of this range has to wait. */
  isBusy(offset: number, length: number): boolean {
    return this.overlapsMutation(offset, length) || this.overlapsLock(offset, length);
  }

  overlapsMutation(offset: number, length: number): boolean {
    const { slots, mutations } = this;
    const end = offset + length;
    for (let at = 0; at < mutations.size; at += 1) {
      const slot = mutations.at(at);
      const start = slots.offset[slot];
      if (start < end && offset < start + slots.length[slot]) return true;
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
      if (lock.held || this.overlapsMutation(lock.offset, lock.length)) continue;
      lock.held = true;
      lock.onHeld(lock);
    }
  }

  clear(): void {
    this.locks = [];
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
