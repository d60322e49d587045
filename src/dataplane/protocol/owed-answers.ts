import type { CoordinatorCore } from './core.js';
import type { Dispatch } from './dispatch.js';
import type { FailedRequests } from './failed-requests.js';
import type { Link } from './link.js';
import { Status } from './ops.js';
import type { RequestTable } from './request-table.js';
import { SlotState } from './request-table.js';

export interface OwedAnswersEvents {
  finish(slot: number, status: number): void;
}

/**
 * What replicas still owe of the requests at work, when their sessions or
 * roles change: what is asked again, what nobody waits for any more, and who
 * has owed for too long. No request passes here that goes well.
 */
export class OwedAnswers {
  constructor(
    private readonly core: CoordinatorCore,
    private readonly requests: RequestTable,
    private readonly failures: FailedRequests,
    private readonly dispatch: Dispatch,
    private readonly events: OwedAnswersEvents,
  ) {}

  /** The link has a new session: what it still owes is asked of it again, oldest first. */
  resend(link: Link): void {
    const { requests } = this;
    const owed: number[] = [];
    for (const list of [requests.mutations, requests.others]) {
      for (let at = 0; at < list.size; at += 1) {
        const slot = list.at(at);
        // Asking twice would bring a second answer, perhaps for the slot's next request.
        if ((requests.pending[slot] & ~requests.sent[slot] & link.bit) !== 0) owed.push(slot);
      }
    }
    owed.sort((left, right) => this.core.slots.seq[left] - this.core.slots.seq[right]);
    for (const slot of owed) this.dispatch.sendAgain(link, slot);
  }

  /** The link's session ended: its next one may be asked what this one was. */
  onLinkDown(link: Link): void {
    const { requests } = this;
    for (const list of [requests.mutations, requests.others]) {
      for (let at = 0; at < list.size; at += 1) requests.sent[list.at(at)] &= ~link.bit;
    }
  }

  /** Etcd does not count on this replica any more (or never did): nothing waits for it. */
  excuse(link: Link): void {
    const { requests } = this;
    for (const list of [requests.mutations, requests.others]) {
      for (const slot of list.snapshot()) {
        const asked = (requests.assigned[slot] & link.bit) !== 0;
        if (!asked || requests.state[slot] < SlotState.mutation) continue;
        requests.assigned[slot] &= ~link.bit;
        requests.errored[slot] &= ~link.bit;
        const owed = (requests.pending[slot] & link.bit) !== 0;
        requests.pending[slot] &= ~link.bit;
        // Also the last one that had answered may go, while the answer waits for a lease.
        const nobodyHasIt = requests.assigned[slot] === 0;
        if (requests.pending[slot] === 0 && (owed || nobodyHasIt)) this.excused(slot);
        else if (owed && requests.errored[slot] !== 0) this.failures.settle(slot);
      }
    }
  }

  /** Replicas lost power: what one had answered of an unfinished mutation it may have lost again. */
  forgetAnswers(): void {
    const { requests } = this;
    for (const slot of requests.mutations.snapshot()) {
      requests.pending[slot] = requests.assigned[slot];
      requests.errored[slot] = 0;
      requests.sent[slot] = 0;
    }
  }

  /** The replica that has owed an answer since before its time, if any. */
  overdue(now: number): Link | undefined {
    const { requests } = this;
    const { replicaTimeoutMs, flushTimeoutMs } = this.core.options;
    for (const list of [requests.mutations, requests.others]) {
      for (let at = 0; at < list.size; at += 1) {
        const slot = list.at(at);
        const flush = requests.state[slot] === SlotState.flush;
        if (now - requests.startedAt[slot] <= (flush ? flushTimeoutMs : replicaTimeoutMs)) continue;
        const owing = this.owing(slot);
        if (owing !== undefined) return owing;
      }
    }
    return undefined;
  }

  private owing(slot: number): Link | undefined {
    const { requests } = this;
    const owed = requests.pending[slot] & requests.sent[slot] & ~requests.errored[slot];
    for (const link of this.core.links) {
      if (!link.up) continue;
      if (requests.state[slot] === SlotState.read) {
        if (requests.readLink[slot] === link.index) return link;
      } else if ((owed & link.bit) !== 0) {
        return link;
      }
    }
    return undefined;
  }

  /**
   * Nobody owes an answer any more. A flush that was sent to those who left
   * alone is owed by those who came meanwhile; a mutation never is, for its
   * range is not copied to them before it is done.
   */
  private excused(slot: number): void {
    const nobodyHasIt = this.requests.assigned[slot] === 0;
    const flush = this.requests.state[slot] === SlotState.flush;
    if (nobodyHasIt && flush && this.core.links.some((link) => link.required)) {
      this.dispatch.send(slot);
    } else this.events.finish(slot, Status.ok);
  }
}
