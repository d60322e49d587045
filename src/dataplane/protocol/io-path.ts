import { assert, assertSafeBytes } from '../../kernel/assert.js';
import { setRange } from './bitmap.js';
import type { CoordinatorCore } from './core.js';
import type { Link } from './link.js';
import type { IoStats } from './io-stats.js';
import { countRequest, noRequests } from './io-stats.js';
import { OpKind, Status } from './ops.js';
import type { PlantedFaults } from './planted-faults.js';
import type { RangeLock } from './range-locks.js';
import { RangeLocks } from './range-locks.js';
import { SequenceWindow } from './sequence-window.js';
import { skippedByFault } from './skipped-by-fault.js';
import { SlotList } from './slot-list.js';

const SlotState = { idle: 0, queued: 1, read: 2, answered: 3, mutation: 4, flush: 5 } as const;

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
  private readonly state: Uint8Array;
  private readonly pending: Int32Array;
  private readonly assigned: Int32Array;
  /** Replicas that were sent the request in their present session. */
  private readonly sent: Int32Array;
  private readonly errored: Int32Array;
  private readonly errorStatus: Int32Array;
  private readonly readLink: Int32Array;
  private readonly startedAt: Float64Array;
  private readonly mutations: SlotList;
  private readonly others: SlotList;
  private readonly queue: SlotList;
  private readonly sequence = new SequenceWindow();
  private readonly ranges: RangeLocks;
  private drained: (() => void)[] = [];
  private pumping = false;
  private pumpAgain = false;

  constructor(
    private readonly core: CoordinatorCore,
    private readonly faults: PlantedFaults,
  ) {
    const { capacity } = core.slots;
    this.state = new Uint8Array(capacity);
    this.pending = new Int32Array(capacity);
    this.assigned = new Int32Array(capacity);
    this.sent = new Int32Array(capacity);
    this.errored = new Int32Array(capacity);
    this.errorStatus = new Int32Array(capacity);
    this.readLink = new Int32Array(capacity);
    this.startedAt = new Float64Array(capacity);
    this.mutations = new SlotList(capacity);
    this.others = new SlotList(capacity);
    this.queue = new SlotList(capacity);
    this.ranges = new RangeLocks(core.slots, this.mutations);
  }

  /** Every mutation up to this number is complete everywhere. */
  get completedSeq(): number {
    return this.sequence.completed;
  }

  get inFlight(): number {
    return this.mutations.size + this.others.size + this.queue.size;
  }

  submit(slot: number): void {
    const { slots } = this.core;
    assert(this.state[slot] === SlotState.idle, `slot ${slot} was submitted twice`);
    assertSafeBytes(slots.offset[slot], 'offset');
    assertSafeBytes(slots.length[slot], 'length');
    if (this.core.phase === 'fenced' || this.core.phase === 'closed') {
      this.core.host.complete(slot, Status.ioError);
      return;
    }
    if (slots.offset[slot] + slots.length[slot] > this.core.sizeBytes) {
      this.core.host.complete(slot, Status.invalid);
      return;
    }
    countRequest(this.stats, slots, slot);
    if (this.core.phase !== 'serving' || !this.tryStart(slot)) {
      this.state[slot] = SlotState.queued;
      this.queue.add(slot);
    }
  }

  /** A replica answered the request in `slot`. */
  onReply(link: Link, slot: number, status: number): void {
    if (status === Status.fenced) {
      this.membership.fenced(`replica ${link.replicaId} obeys a newer epoch`);
      return;
    }
    if (this.state[slot] === SlotState.read) {
      if (this.readLink[slot] === link.index) this.onReadReply(link, slot, status);
      return;
    }
    if (this.state[slot] < SlotState.mutation || (this.pending[slot] & link.bit) === 0) return;
    if (status === Status.ok) {
      this.pending[slot] &= ~link.bit;
      this.errored[slot] &= ~link.bit;
      if (this.pending[slot] === 0) this.finish(slot, Status.ok);
      else if (this.errored[slot] !== 0) this.settle(slot);
      return;
    }
    this.errored[slot] |= link.bit;
    this.errorStatus[slot] = status;
    this.settle(slot);
  }

  /** The link has a new session: what it still owes is asked of it again, oldest first. */
  resend(link: Link): void {
    const owed: number[] = [];
    for (const list of [this.mutations, this.others]) {
      for (let at = 0; at < list.size; at += 1) {
        // Asking twice would bring a second answer, perhaps for the slot's next request.
        const owes = this.pending[list.at(at)] & ~this.sent[list.at(at)] & link.bit;
        if (owes !== 0) owed.push(list.at(at));
      }
    }
    owed.sort((left, right) => this.core.slots.seq[left] - this.core.slots.seq[right]);
    for (const slot of owed) {
      this.errored[slot] &= ~link.bit;
      this.startedAt[slot] = this.core.clock.now();
      this.sent[slot] |= link.bit;
      link.port.send(slot, this.completedSeq);
    }
  }

  /** The link's session ended: its reads go to another replica. */
  onLinkDown(link: Link): void {
    for (const list of [this.mutations, this.others]) {
      for (let at = 0; at < list.size; at += 1) this.sent[list.at(at)] &= ~link.bit;
    }
    for (let at = this.others.size - 1; at >= 0; at -= 1) {
      const slot = this.others.at(at);
      if (this.state[slot] !== SlotState.read || this.readLink[slot] !== link.index) continue;
      this.others.remove(slot);
      this.state[slot] = SlotState.queued;
      this.queue.add(slot);
    }
  }

  /** Etcd does not count on this replica any more (or never did): nothing waits for it. */
  excuse(link: Link): void {
    for (const list of [this.mutations, this.others]) {
      for (const slot of list.snapshot()) {
        if ((this.assigned[slot] & link.bit) === 0 || this.state[slot] < SlotState.mutation)
          continue;
        this.assigned[slot] &= ~link.bit;
        this.errored[slot] &= ~link.bit;
        if ((this.pending[slot] & link.bit) === 0) continue;
        this.pending[slot] &= ~link.bit;
        if (this.pending[slot] === 0) this.finish(slot, Status.ok);
        else if (this.errored[slot] !== 0) this.settle(slot);
      }
    }
  }

  /** Roles have changed: requests that some replica failed may be decidable now. */
  resettle(): void {
    for (const list of [this.mutations, this.others]) {
      for (const slot of list.snapshot()) {
        if (this.state[slot] >= SlotState.mutation && this.errored[slot] !== 0) this.settle(slot);
      }
    }
  }

  /** Something changed that may let waiting requests start or be answered. */
  pump(): void {
    this.pumpAgain = true;
    if (this.pumping) return;
    this.pumping = true;
    while (this.pumpAgain) {
      this.pumpAgain = false;
      this.ranges.grant();
      for (const slot of this.others.snapshot()) {
        if (this.state[slot] === SlotState.answered) this.answerRead(slot);
        else if (this.awaitsLease(slot)) this.finish(slot, Status.ok);
      }
      for (const slot of this.mutations.snapshot()) {
        if (this.awaitsLease(slot)) this.finish(slot, Status.ok);
      }
      this.startQueued();
    }
    this.pumping = false;
  }

  /** Every replica has answered well, but the read lease had run out. */
  private awaitsLease(slot: number): boolean {
    const begun = this.state[slot] >= SlotState.mutation;
    // Nothing assigned: it failed everywhere and is being repaired.
    return begun && this.pending[slot] === 0 && this.assigned[slot] !== 0;
  }

  private startQueued(): void {
    for (const slot of this.queue.snapshot()) {
      if (this.core.phase !== 'serving') return;
      if (this.state[slot] !== SlotState.queued) continue;
      this.queue.remove(slot);
      this.state[slot] = SlotState.idle;
      if (this.tryStart(slot)) continue;
      this.state[slot] = SlotState.queued;
      this.queue.add(slot);
    }
  }

  /** Holds new mutations; `drained` is called when none is at work. */
  freeze(drained: () => void): void {
    this.freezes += 1;
    this.whenDrained(drained);
  }

  thaw(): void {
    this.freezes -= 1;
    this.pump();
  }

  whenDrained(drained: () => void): void {
    if (this.mutations.size === 0 || this.faults.has('snapshot_unordered')) drained();
    else this.drained.push(drained);
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
    const { replicaTimeoutMs, flushTimeoutMs } = this.core.options;
    for (const list of [this.mutations, this.others]) {
      for (let at = 0; at < list.size; at += 1) {
        const slot = list.at(at);
        const limit = this.state[slot] === SlotState.flush ? flushTimeoutMs : replicaTimeoutMs;
        if (now - this.startedAt[slot] <= limit) continue;
        const owing = this.owing(slot);
        if (owing !== undefined) return owing;
      }
    }
    return undefined;
  }

  /** Chunks that a mutation at work touches. */
  markActive(bitmap: Uint8Array): void {
    const { slots, options } = this.core;
    for (let at = 0; at < this.mutations.size; at += 1) {
      const slot = this.mutations.at(at);
      setRange(bitmap, options.geometry.chunkBytes, slots.offset[slot], slots.length[slot]);
    }
  }

  /** Ends every request with an I/O error: this coordinator's time is over. */
  failAll(): void {
    for (const list of [this.mutations, this.others, this.queue]) {
      for (const slot of list.snapshot()) {
        list.remove(slot);
        this.state[slot] = SlotState.idle;
        this.core.host.complete(slot, Status.ioError);
      }
    }
    this.ranges.clear();
  }

  private owing(slot: number): Link | undefined {
    for (const link of this.core.links) {
      if (!link.up) continue;
      if (this.state[slot] === SlotState.read) {
        if (this.readLink[slot] === link.index) return link;
      } else if ((this.pending[slot] & this.sent[slot] & ~this.errored[slot] & link.bit) !== 0) {
        return link;
      }
    }
    return undefined;
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
    this.state[slot] = SlotState.mutation;
    this.mutations.add(slot);
    this.sendToRequired(slot);
    return true;
  }

  /** Acknowledged writes are gone: the flushes that wait say so, or else the next one. */
  cacheLost(): void {
    this.flushFails = true;
    // What a replica had answered of an unfinished mutation it may have lost again.
    for (const slot of this.mutations.snapshot()) {
      this.pending[slot] = this.assigned[slot];
      this.errored[slot] = 0;
      this.sent[slot] = 0;
    }
    for (const slot of this.others.snapshot()) {
      if (this.state[slot] !== SlotState.flush) continue;
      this.flushFails = false;
      this.finish(slot, Status.ioError);
    }
  }

  private startFlush(slot: number): boolean {
    if (this.flushFails) {
      this.flushFails = false;
      this.core.host.complete(slot, Status.ioError);
      return true;
    }
    this.core.slots.seq[slot] = 0;
    this.state[slot] = SlotState.flush;
    this.others.add(slot);
    this.sendToRequired(slot);
    return true;
  }

  private sendToRequired(slot: number): void {
    const { links } = this.core;
    let mask = 0;
    for (let index = 0; index < links.length; index += 1) {
      if (links[index].required) mask |= links[index].bit;
    }
    assert(mask !== 0, 'a volume has a replica that is required');
    const flush = this.state[slot] === SlotState.flush;
    const skipped = this.faults.size === 0 ? 0 : skippedByFault(this.faults, links, flush);
    this.pending[slot] = mask & ~skipped;
    this.assigned[slot] = mask & ~skipped;
    this.sent[slot] = 0;
    this.errored[slot] = 0;
    this.startedAt[slot] = this.core.clock.now();
    // Remote replicas first: their work overlaps with the local one's.
    for (let index = 0; index < links.length; index += 1) {
      const link = links[index];
      if ((mask & ~skipped & link.bit) !== 0 && link.up && !link.local) {
        this.sent[slot] |= link.bit;
        link.port.send(slot, this.completedSeq);
      }
    }
    for (let index = 0; index < links.length; index += 1) {
      const link = links[index];
      if ((mask & ~skipped & link.bit) !== 0 && link.up && link.local) {
        this.sent[slot] |= link.bit;
        link.port.send(slot, this.completedSeq);
      }
    }
  }

  private startRead(slot: number): boolean {
    const { slots } = this.core;
    // A read that saw an unfinished write could see it vanish with the coordinator.
    if (
      !this.faults.has('read_overlaps_write') &&
      this.ranges.overlapsMutation(slots.offset[slot], slots.length[slot])
    ) {
      return false;
    }
    this.pending[slot] = 0;
    this.errored[slot] = 0;
    return this.sendRead(slot);
  }

  private sendRead(slot: number): boolean {
    let best: Link | undefined;
    for (const link of this.core.links) {
      if (link.role !== 'in_sync' || !link.up || link.doubtful) continue;
      if ((this.errored[slot] & link.bit) !== 0) continue;
      if (
        best === undefined ||
        link.local ||
        (!best.local && link.roundTripMs < best.roundTripMs)
      ) {
        best = link;
      }
    }
    if (best === undefined) return false;
    this.state[slot] = SlotState.read;
    this.readLink[slot] = best.index;
    this.startedAt[slot] = this.core.clock.now();
    this.others.add(slot);
    best.port.send(slot, this.completedSeq);
    return true;
  }

  private onReadReply(link: Link, slot: number, status: number): void {
    if (status === Status.ok) {
      this.state[slot] = SlotState.answered;
      this.answerRead(slot);
      return;
    }
    this.others.remove(slot);
    this.errored[slot] |= link.bit;
    const another = this.core
      .inSync()
      .some((candidate) => (this.errored[slot] & candidate.bit) === 0);
    if (!another) {
      this.state[slot] = SlotState.idle;
      this.core.host.complete(slot, status);
      this.pump();
      return;
    }
    if (!this.sendRead(slot)) {
      this.state[slot] = SlotState.queued;
      this.queue.add(slot);
    }
    this.membership.dismiss(link, `reading failed with errno ${status}`);
  }

  /**
   * The lease is looked at after the data was read: while every replica that
   * etcd counts on grants it, no newer coordinator has served anything.
   */
  private answerRead(slot: number): void {
    if (!this.isLeased()) return;
    this.others.remove(slot);
    this.state[slot] = SlotState.idle;
    this.core.host.complete(slot, Status.ok);
  }

  /** While every replica that etcd counts on grants its lease, no newer coordinator serves. */
  private isLeased(): boolean {
    if (this.faults.has('stale_lease_believed')) return true;
    const now = this.core.clock.now();
    const { links } = this.core;
    for (let index = 0; index < links.length; index += 1) {
      if (links[index].guardsReads && !(now < links[index].leaseUntil)) return false;
    }
    return true;
  }

  /** Decides about a request that at least one replica failed. */
  private settle(slot: number): void {
    if ((this.pending[slot] & ~this.errored[slot]) !== 0) return;
    const { links } = this.core;
    const good = this.assigned[slot] & ~this.pending[slot];
    const goodInSync = links.some((link) => link.role === 'in_sync' && (good & link.bit) !== 0);
    const failed = links.filter((link) => (this.errored[slot] & link.bit) !== 0);
    const reason = `a request failed with errno ${this.errorStatus[slot]}`;
    const failedInSync = failed.filter((link) => link.role === 'in_sync');
    for (const link of failed) {
      if (link.role === 'joining' || (goodInSync && link.role === 'in_sync')) {
        this.membership.dismiss(link, reason);
      }
    }
    if (goodInSync || failedInSync.length === 0 || this.pending[slot] === 0) return;
    if (failed.some((link) => link.role === 'leaving' || link.role === 'adding')) return;
    this.failEverywhere(slot);
  }

  /** All in-sync replicas failed it: the error is the caller's, once they are equal again. */
  private failEverywhere(slot: number): void {
    const { slots } = this.core;
    const status = this.errorStatus[slot];
    if (this.state[slot] === SlotState.flush) {
      this.finish(slot, status);
      return;
    }
    this.errored[slot] = 0;
    this.pending[slot] = 0;
    this.assigned[slot] = 0;
    this.membership.repair(slots.offset[slot], slots.length[slot], () => {
      if (this.state[slot] === SlotState.mutation) this.finish(slot, status);
    });
  }

  private finish(slot: number, status: number): void {
    // Answers may have waited while this process stood still and another took over.
    if (status === Status.ok && !this.isLeased()) return;
    const mutation = this.state[slot] === SlotState.mutation;
    this.state[slot] = SlotState.idle;
    if (mutation) {
      this.mutations.remove(slot);
      this.sequence.complete(this.core.slots.seq[slot]);
    } else {
      this.others.remove(slot);
    }
    this.core.host.complete(slot, status);
    if (this.mutations.size === 0 && this.drained.length > 0) {
      const drained = this.drained;
      this.drained = [];
      for (const callback of drained) callback();
    }
    if (this.queue.size > 0 || this.ranges.anyLock) this.pump();
  }
}
