import type { IoLimits } from '../../../kernel/volume-record.js';
import { OpKind } from '../../protocol/ops.js';
import type { SlotTable } from '../../protocol/ops.js';

/** Requests may come this much ahead of their pace: timers are no finer than a millisecond. */
const burstMs = 50;
const none = -1;

/** One direction: how fast it may go, and who waits, first come first served. */
class Direction {
  /** Per request or per byte, in milliseconds; 0: no limit. */
  costMs = 0;
  perByte = false;
  /** When the last admitted request would be over at exactly the limited pace. */
  paidUntilMs = -Infinity;
  first = none;
  last = none;

  limit(perSecond: number | undefined, bytesPerSecond: number | undefined): void {
    const rate = perSecond ?? bytesPerSecond;
    const costMs = rate === undefined ? 0 : 1000 / rate;
    const perByte = perSecond === undefined && bytesPerSecond !== undefined;
    if (costMs === this.costMs && perByte === this.perByte) return;
    this.costMs = costMs;
    this.perByte = perByte;
    // A debt at the old pace must not hold up the new one.
    this.paidUntilMs = -Infinity;
  }

  get dueMs(): number {
    return this.paidUntilMs - burstMs;
  }
}

/**
 * The limits of an attached volume: a request that is ahead of its pace stays
 * in its slot, in a list that is made beforehand, until the thread's timer lets
 * it go on. Nothing is allocated for a request, and flushes never wait: they
 * promise only what was answered before, and a delayed write was not.
 */
export class IoThrottle {
  private readonly next: Int32Array;
  private readonly reads = new Direction();
  private readonly writes = new Direction();
  private waiting = 0;

  constructor(
    private readonly slots: SlotTable,
    private readonly forward: (slot: number) => void,
    limits: IoLimits,
  ) {
    this.next = new Int32Array(slots.capacity).fill(none);
    this.setLimits(limits);
  }

  /** Requests that wait. */
  get delayed(): number {
    return this.waiting;
  }

  /** No limits let everything go on. What waits goes on at the new pace with the next `tick`. */
  setLimits(limits: IoLimits): void {
    this.reads.limit(limits.readIops, limits.readBytesPerSecond);
    this.writes.limit(limits.writeIops, limits.writeBytesPerSecond);
  }

  /** True when the request may go on now; else it is kept, and forwarded later. */
  admit(slot: number, now: number): boolean {
    const kind = this.slots.kind[slot];
    if (kind === OpKind.flush) return true;
    const direction = kind === OpKind.read ? this.reads : this.writes;
    if (direction.costMs === 0) return true;
    if (direction.first === none && now >= direction.dueMs) {
      this.pay(direction, slot, now);
      return true;
    }
    if (direction.first === none) direction.first = slot;
    else this.next[direction.last] = slot;
    direction.last = slot;
    this.waiting++;
    return false;
  }

  nextDeadline(): number {
    let deadline = Infinity;
    if (this.reads.first !== none) deadline = this.reads.dueMs;
    if (this.writes.first !== none && this.writes.dueMs < deadline) deadline = this.writes.dueMs;
    return deadline;
  }

  tick(now: number): void {
    this.release(this.reads, now);
    this.release(this.writes, now);
  }

  private release(direction: Direction, now: number): void {
    while (direction.first !== none && (direction.costMs === 0 || now >= direction.dueMs)) {
      const slot = direction.first;
      direction.first = this.next[slot] ?? none;
      if (direction.first === none) direction.last = none;
      this.next[slot] = none;
      this.waiting--;
      this.pay(direction, slot, now);
      this.forward(slot);
    }
  }

  private pay(direction: Direction, slot: number, now: number): void {
    // A discard moves no bytes, however long it is.
    const bytes = this.slots.kind[slot] === OpKind.zero ? 0 : (this.slots.length[slot] ?? 0);
    const cost = direction.perByte ? bytes * direction.costMs : direction.costMs;
    direction.paidUntilMs = Math.max(direction.paidUntilMs, now) + cost;
  }
}
