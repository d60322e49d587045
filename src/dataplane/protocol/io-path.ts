import { assert, assertSafeBytes } from '../../kernel/assert.js';
import { setRange } from './bitmap.js';
import type { CoordinatorCore } from './core.js';
import { Dispatch } from './dispatch.js';
import type { Link } from './link.js';
import { FailedRequests } from './failed-requests.js';
import type { IoStats } from './io-stats.js';
import { countRequest, noRequests } from './io-stats.js';
import { OpKind, Status } from './ops.js';
import { OwedAnswers } from './owed-answers.js';
import type { PlantedFaults } from './planted-faults.js';
import type { RangeLock } from './range-locks.js';
import { RangeLocks } from './range-locks.js';
import { isLeased } from './read-lease.js';
import { ReadPath } from './read-path.js';
import { RequestTable, SlotState } from './request-table.js';
import { SequenceWindow } from './sequence-window.js';

export interface MembershipPort {
  /** This replica answered a request with an error that others did not give. */
  dismiss(link: Link, reason: string): void;
  fenced(reason: string): void;
  /** Every in-sync replica failed the range: make it the same on all, then call back. */
  repair(offset: number, length: number, done: () => void): void;
}

/**
 * The way of one request through the coordinator.
 *
 * Invariant: a replica's bit in `pending` is cleared only by its own good
 * answer, or because etcd is known not to count on it any more. A request is
 * acknowledged when no bit is left.
 */
export class IoPath {
  membership!: MembershipPort;
  readonly stats: IoStats = noRequests();
  /** How many hold new mutations: a snapshot may end while a detach goes on. */
  private freezes = 0;
  private flushFails = false;
  private readonly requests: RequestTable;
  private readonly dispatch: Dispatch;
  private readonly reads: ReadPath;
  private readonly failures: FailedRequests;
  private readonly owed: OwedAnswers;
  private readonly sequence = new SequenceWindow();
  private readonly ranges: RangeLocks;
  private drained: (() => void)[] = [];
  private pumping = false;
  private pumpAgain = false;

  constructor(
    private readonly core: CoordinatorCore,
    private readonly faults: PlantedFaults,
  ) {
    this.requests = new RequestTable(core.slots.capacity);
    this.ranges = new RangeLocks(core.slots, this.requests);
    this.dispatch = new Dispatch(core, this.requests, this.sequence, faults);
    this.reads = new ReadPath(core, this.requests, this, faults);
    this.failures = new FailedRequests(core, this.requests, this);
    this.owed = new OwedAnswers(core, this.requests, this.failures, this.dispatch, this);
  }

  /** Every mutation up to this number is complete everywhere. */
  get completedSeq(): number {
    return this.sequence.completed;
  }

  get inFlight(): number {
    return this.requests.size;
  }

  submit(slot: number): void {
    const { slots } = this.core;
    assert(this.requests.state[slot] === SlotState.idle, `slot ${slot} was submitted twice`);
    assertSafeBytes(slots.offset[slot], 'offset');
    assertSafeBytes(slots.length[slot], 'length');
    if (this.core.over) {
      this.core.host.complete(slot, Status.ioError);
      return;
    }
    if (slots.offset[slot] + slots.length[slot] > this.core.sizeBytes) {
      this.core.host.complete(slot, Status.invalid);
      return;
    }
    countRequest(this.stats, slots, slot);
    if (this.core.phase !== 'serving' || !this.tryStart(slot)) {
      this.requests.enqueue(slot);
    }
  }

  private tryStart(slot: number): boolean {
    const kind = this.core.slots.kind[slot];
    if (kind === OpKind.flush) return this.startFlush(slot);
    if (kind === OpKind.read) return this.startRead(slot);
    return this.startMutation(slot);
  }

  private startMutation(slot: number): boolean {
    const { core } = this;
    const { slots, options } = core;
    const offset = slots.offset[slot];
    const length = slots.length[slot];
    if (length === 0) {
      core.host.complete(slot, Status.ok);
      return true;
    }
    if (this.freezes > 0 && !this.faults.has('snapshot_unordered')) return false;
    if (this.sequence.full || this.ranges.isBusy(offset, length)) return false;
    slots.seq[slot] = this.sequence.next();
    setRange(core.marks, options.geometry.chunkBytes, offset, length);
    setRange(core.touched, options.geometry.chunkBytes, offset, length);
    this.requests.state[slot] = SlotState.mutation;
    this.requests.mutations.add(slot);
    this.dispatch.send(slot);
    return true;
  }

  private startFlush(slot: number): boolean {
    if (this.flushFails) {
      this.flushFails = false;
      this.core.host.complete(slot, Status.ioError);
      return true;
    }
    this.core.slots.seq[slot] = 0;
    this.requests.state[slot] = SlotState.flush;
    this.requests.others.add(slot);
    this.dispatch.send(slot);
    return true;
  }

  private startRead(slot: number): boolean {
    const { slots } = this.core;
    // A read that saw an unfinished write could see it vanish with the coordinator.
    const overlaps = this.ranges.overlapsMutation(slots.offset[slot], slots.length[slot]);
    if (overlaps && !this.faults.has('read_overlaps_write')) return false;
    return this.reads.start(slot);
  }

  /** A replica answered the request in `slot`. */
  onReply(link: Link, slot: number, status: number): void {
    if (status === Status.fenced) {
      this.membership.fenced(`replica ${link.replicaId} obeys a newer epoch`);
      return;
    }
    if (this.requests.state[slot] === SlotState.read) {
      if (this.requests.readLink[slot] === link.index) this.reads.onReply(link, slot, status);
      return;
    }
    const begun = this.requests.state[slot] >= SlotState.mutation;
    if (!begun || (this.requests.pending[slot] & link.bit) === 0) return;
    if (status === Status.ok) {
      this.requests.pending[slot] &= ~link.bit;
      this.requests.errored[slot] &= ~link.bit;
      if (this.requests.pending[slot] === 0) this.finish(slot, Status.ok);
      else if (this.requests.errored[slot] !== 0) this.failures.settle(slot);
      return;
    }
    this.requests.errored[slot] |= link.bit;
    this.requests.errorStatus[slot] = status;
    this.failures.settle(slot);
  }

  /** Answers a mutation or a flush. */
  finish(slot: number, status: number): void {
    // Answers may have waited while this process stood still and another took over.
    if (status === Status.ok && !isLeased(this.core, this.faults)) return;
    const mutation = this.requests.state[slot] === SlotState.mutation;
    this.requests.state[slot] = SlotState.idle;
    if (mutation) {
      this.requests.mutations.remove(slot);
      this.sequence.complete(this.core.slots.seq[slot]);
    } else {
      this.requests.others.remove(slot);
    }
    this.core.host.complete(slot, status);
    if (this.requests.mutations.size === 0 && this.drained.length > 0) {
      const drained = this.drained;
      this.drained = [];
      for (const callback of drained) callback();
    }
    if (this.requests.queue.size > 0 || this.ranges.anyLock) this.pump();
  }

  /** The link has a new session: see `OwedAnswers`. */
  resend(link: Link): void {
    this.owed.resend(link);
  }

  /** The link's session ended: its reads go to another replica. */
  onLinkDown(link: Link): void {
    this.owed.onLinkDown(link);
    this.reads.onLinkDown(link);
  }

  /** Etcd does not count on this replica any more (or never did): nothing waits for it. */
  excuse(link: Link): void {
    this.owed.excuse(link);
  }

  /** Acknowledged writes are gone: the flushes that wait say so, or else the next one. */
  cacheLost(): void {
    this.flushFails = true;
    this.owed.forgetAnswers();
    for (const slot of this.requests.others.snapshot()) {
      if (this.requests.state[slot] !== SlotState.flush) continue;
      this.flushFails = false;
      this.finish(slot, Status.ioError);
    }
  }

  /** Roles have changed: requests that some replica failed may be decidable now. */
  resettle(): void {
    this.failures.resettle();
  }

  dismiss(link: Link, reason: string): void {
    this.membership.dismiss(link, reason);
  }

  repair(offset: number, length: number, done: () => void): void {
    this.membership.repair(offset, length, done);
  }

  /** Something changed that may let waiting requests start or be answered. */
  pump(): void {
    this.pumpAgain = true;
    if (this.pumping) return;
    this.pumping = true;
    while (this.pumpAgain) {
      this.pumpAgain = false;
      this.ranges.grant();
      for (const slot of this.requests.others.snapshot()) {
        if (this.requests.state[slot] === SlotState.answered) this.reads.answer(slot);
        else if (this.requests.isAnswered(slot)) this.finish(slot, Status.ok);
      }
      for (const slot of this.requests.mutations.snapshot()) {
        if (this.requests.isAnswered(slot)) this.finish(slot, Status.ok);
      }
      this.startQueued();
    }
    this.pumping = false;
  }

  private startQueued(): void {
    for (const slot of this.requests.queue.snapshot()) {
      if (this.core.phase !== 'serving') return;
      if (this.requests.state[slot] !== SlotState.queued) continue;
      this.requests.queue.remove(slot);
      this.requests.state[slot] = SlotState.idle;
      if (this.tryStart(slot)) continue;
      this.requests.enqueue(slot);
    }
  }

  /** Holds new mutations; `drained` is called when none is at work. */
  freeze(drained: () => void): void {
    this.freezes += 1;
    if (this.requests.mutations.size === 0 || this.faults.has('snapshot_unordered')) drained();
    else this.drained.push(drained);
  }

  thaw(): void {
    this.freezes -= 1;
    this.pump();
  }

  lock(offset: number, length: number, onHeld: (lock: RangeLock) => void): RangeLock {
    return this.ranges.lock(offset, length, onHeld);
  }

  unlock(lock: RangeLock): void {
    this.ranges.unlock(lock);
    this.pump();
  }

  /** The replica that has owed an answer since before its time, if any. */
  overdue(now: number): Link | undefined {
    return this.owed.overdue(now);
  }

  /** Chunks that a mutation at work touches. */
  markActive(bitmap: Uint8Array): void {
    const { slots, options } = this.core;
    for (let at = 0; at < this.requests.mutations.size; at += 1) {
      const slot = this.requests.mutations.at(at);
      setRange(bitmap, options.geometry.chunkBytes, slots.offset[slot], slots.length[slot]);
    }
  }

  /** Ends every request with an I/O error: this coordinator's time is over. */
  failAll(): void {
    for (const list of [this.requests.mutations, this.requests.others, this.requests.queue]) {
      for (const slot of list.snapshot()) {
        list.remove(slot);
        this.requests.state[slot] = SlotState.idle;
        this.core.host.complete(slot, Status.ioError);
      }
    }
    this.ranges.clear();
  }
}
