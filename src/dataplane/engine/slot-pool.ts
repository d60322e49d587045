import type { SlotTable } from '../protocol/ops.js';
import type { Outbox } from './outbox.js';

export interface SlotWaiter {
  /** A slot may be free. */
  resume(): void;
}

/**
 * Slots set aside for the replicas' sessions with other nodes.
 *
 * They are kept apart from the frontends' for good: a frontend's slot may wait
 * for a slot on another node, whose frontends may wait for one here. The slots
 * here wait for local disks and sockets only, so that circle is never closed.
 */
export class SlotPool {
  private readonly free: number[] = [];
  private readonly waiters: SlotWaiter[] = [];
  private waking = false;
  private readonly wake = (): void => {
    this.waking = false;
    for (const waiter of this.waiters.splice(0)) waiter.resume();
  };

  constructor(
    slots: SlotTable,
    count: number,
    private readonly outbox: Outbox,
  ) {
    for (let index = 0; index < count; index++) this.free.push(slots.acquire());
    // The lowest slot first, and the last returned: few of them are ever touched.
    this.free.reverse();
  }

  /** A slot, or -1: then `waiter` is told when to try again. */
  take(waiter: SlotWaiter): number {
    const slot = this.free.pop();
    if (slot !== undefined) return slot;
    this.waitFor(waiter);
    return -1;
  }

  give(slot: number): void {
    this.free.push(slot);
    if (this.waiters.length === 0 || this.waking) return;
    this.waking = true;
    this.outbox.defer(this.wake);
  }

  waitFor(waiter: SlotWaiter): void {
    if (!this.waiters.includes(waiter)) this.waiters.push(waiter);
  }
}
