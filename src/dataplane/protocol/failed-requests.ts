import type { CoordinatorCore } from './core.js';
import type { Link } from './link.js';
import type { RequestTable } from './request-table.js';
import { SlotState } from './request-table.js';

interface FailureEvents {
  dismiss(link: Link, reason: string): void;
  repair(offset: number, length: number, done: () => void): void;
  finish(slot: number, status: number): void;
}

/** Decides about mutations and flushes that at least one replica failed (rules W2 and W5). */
export class FailedRequests {
  constructor(
    private readonly core: CoordinatorCore,
    private readonly requests: RequestTable,
    private readonly events: FailureEvents,
  ) {}

  /** Once every replica has answered: those that failed go, if another one did not. */
  settle(slot: number): void {
    const { requests } = this;
    if ((requests.pending[slot] & ~requests.errored[slot]) !== 0) return;
    const { links } = this.core;
    const good = requests.assigned[slot] & ~requests.pending[slot];
    const goodInSync = links.some((link) => link.role === 'in_sync' && (good & link.bit) !== 0);
    const failed = links.filter((link) => (requests.errored[slot] & link.bit) !== 0);
    const reason = `a request failed with errno ${requests.errorStatus[slot]}`;
    const failedInSync = failed.filter((link) => link.role === 'in_sync');
    for (const link of failed) {
      if (link.role === 'joining' || (goodInSync && link.role === 'in_sync')) {
        this.events.dismiss(link, reason);
      }
    }
    if (goodInSync || failedInSync.length === 0 || requests.pending[slot] === 0) return;
    if (failed.some((link) => link.role === 'leaving' || link.role === 'adding')) return;
    this.failEverywhere(slot);
  }

  /** Roles have changed: requests that some replica failed may be decidable now. */
  resettle(): void {
    const { requests } = this;
    for (const list of [requests.mutations, requests.others]) {
      for (const slot of list.snapshot()) {
        const begun = requests.state[slot] >= SlotState.mutation;
        if (begun && requests.errored[slot] !== 0) this.settle(slot);
      }
    }
  }

  /** All in-sync replicas failed it: the error is the caller's, once they are equal again. */
  private failEverywhere(slot: number): void {
    const { requests } = this;
    const { slots } = this.core;
    const status = requests.errorStatus[slot];
    if (requests.state[slot] === SlotState.flush) {
      this.events.finish(slot, status);
      return;
    }
    requests.errored[slot] = 0;
    requests.pending[slot] = 0;
    requests.assigned[slot] = 0;
    this.events.repair(slots.offset[slot], slots.length[slot], () => {
      if (requests.state[slot] === SlotState.mutation) this.events.finish(slot, status);
    });
  }
}
