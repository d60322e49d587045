import { assert } from '../../kernel/assert.js';
import { andNotInto, bitmapBytes, hasRange, isEmpty, orInto, resized, setRange } from './bitmap.js';
import type { ControlMessage, Hello, HelloReply, RefusalCode } from './messages.js';
import { OpRing } from './op-ring.js';
import { OpKind, Status } from './ops.js';
import type { Geometry, SlotTable } from './ops.js';
import type { PlantedFaults } from './planted-faults.js';
import { noFaults } from './planted-faults.js';
import type { Clock, ReplicaHost, ReplicaMeta, ReplicaStore } from './ports.js';

export interface ReplicaDeps {
  readonly store: ReplicaStore;
  readonly slots: SlotTable;
  readonly clock: Clock;
  readonly host: ReplicaHost;
  readonly geometry: Geometry;
  /** The longest lease that any coordinator of the cluster asks for. */
  readonly leaseMs: number;
  readonly faults?: PlantedFaults;
}

type Waiting =
  | { readonly type: 'flush'; readonly session: number; readonly slot: number }
  | { readonly type: 'control'; readonly session: number; readonly tag: number }
  | { readonly type: 'copy'; readonly session: number; readonly tag: number }
  | { readonly type: 'admit'; readonly session: number; readonly tag: number }
  | { readonly type: 'hello'; readonly session: number; readonly hello: Hello }
  | { readonly type: 'marks' }
  | { readonly type: 'poison' };

const noSession = -1;

/**
 * One replica of a volume: it obeys one coordinator at a time, the one with the
 * newest epoch, and answers only what its store has done.
 *
 * The rules that it keeps, and their reasons, are in `docs/protocol.md`: M1 and
 * M3, T2, L1 and L2, W6.
 */
export class Replica {
  private readonly ring: OpRing;
  private readonly faults: PlantedFaults;
  private meta: ReplicaMeta;
  /** Chunks whose mark is set and known to be durable: these may be written at once. */
  private ready: Uint8Array;
  /** The marks as the save under way will leave them on disk. */
  private saving: Uint8Array | undefined;
  private session = noSession;
  private failed = false;
  /** Mutations that wait until the marks of their chunks are durable, oldest first. */
  private readonly unmarked: number[] = [];
  private marksRequested = false;
  private marksSaving: ((status: number) => void)[] = [];
  private marksWanted: ((status: number) => void)[] = [];
  private readonly waiting = new Map<number, Waiting>();
  private nextTicket = 1;
  /** The newest hello, until everything of the session before it has ended. */
  private arriving: { session: number; hello: Hello } | undefined;

  constructor(private readonly deps: ReplicaDeps) {
    const { store, clock } = deps;
    this.faults = deps.faults ?? noFaults;
    this.meta = store.meta;
    this.ready = store.marks.slice();
    this.ring = new OpRing(store.scratch);
    if (!store.scratchIntact) {
      this.ring.reset();
      // Before its first epoch nobody can have been granted anything.
      if (this.meta.epoch > 0) this.ring.assumeLease(clock.now() + deps.leaseMs);
    }
    const lost = this.ring.storeFailed || (store.powerLost && !isEmpty(store.marks));
    if (lost && !this.meta.lossy) {
      this.meta = { ...this.meta, lossy: true };
    }
  }

  get sizeBytes(): number {
    return this.meta.sizeBytes;
  }

  get epoch(): number {
    return this.meta.epoch;
  }

  /** No coordinator can serve the volume without this replica's lease (rule L1). */
  get isLeased(): boolean {
    return this.deps.clock.now() < this.ring.leasedUntil;
  }

  /** A coordinator asks to be obeyed. Answered by `helloReply`, once the one before it is silent. */
  hello(session: number, hello: Hello): void {
    const refusal = this.refusalOf(hello);
    if (refusal !== undefined) {
      this.deps.host.helloReply(session, refusal);
      return;
    }
    if (this.arriving !== undefined) this.refuseArriving();
    this.arriving = { session, hello };
    this.endSession();
    this.admitArriving();
  }

  /** A read, write, zero or flush in a slot that the session owns until it is answered. */
  submit(session: number, slot: number, completedSeq: number): void {
    if (session !== this.session) {
      this.deps.host.reply(session, slot, Status.fenced);
      return;
    }
    this.ring.completed(completedSeq);
    const kind = this.deps.slots.kind[slot];
    if (kind === OpKind.read) this.read(slot);
    else if (kind === OpKind.flush) this.flush(slot);
    else this.mutate(slot);
  }

  control(session: number, tag: number, message: ControlMessage): void {
    if (session !== this.session) {
      this.deps.host.controlReply(session, tag, { status: Status.fenced });
      return;
    }
    switch (message.type) {
      case 'heartbeat':
        this.ring.completed(message.completedSeq);
        this.ring.grantLease(this.meta.epoch, this.deps.clock.now() + this.deps.leaseMs);
        return this.answer(tag, this.failed ? Status.ioError : Status.ok);
      case 'hash':
        return this.hash(tag, message.offset, message.length);
      case 'clear_marks':
        return this.clearMarks(tag, message.chunks);
      case 'admit':
        return this.admit(tag, message.marks);
      case 'resize':
        return this.resize(tag, message.sizeBytes);
      case 'copy_to': {
        const ticket = this.ticket({ type: 'copy', session, tag });
        this.deps.store.copyTo(message.targetVolumeId, message.targetReplicaId, ticket);
        return;
      }
      case 'copy_from': {
        const ticket = this.ticket({ type: 'copy', session, tag });
        this.deps.store.copyFrom(message.sourceVolumeId, ticket);
        return;
      }
      case 'bye':
        this.ring.grantLease(this.meta.epoch, 0);
        return this.answer(tag, Status.ok);
    }
  }

  /** The connection is gone: nothing of it is carried out any more. */
  closeSession(session: number): void {
    if (this.arriving?.session === session) this.arriving = undefined;
    if (this.session === session) this.endSession();
  }

  /** The store's answer to a call that named this ticket. */
  onStoreDone(ticket: number, status: number): void {
    const waiting = this.waiting.get(ticket);
    assert(waiting !== undefined, `the store answered an unknown ticket ${ticket}`);
    this.waiting.delete(ticket);
    switch (waiting.type) {
      case 'flush':
        if (status !== Status.ok) this.poison();
        if (waiting.session === this.session) {
          this.deps.host.reply(waiting.session, waiting.slot, this.unlessFailed(status));
        }
        break;
      case 'copy':
      case 'control':
        this.answerLate(waiting.session, waiting.tag, this.unlessFailed(status));
        break;
      case 'admit':
        if (status === Status.ok && !this.failed) {
          this.ring.noteStoreFailed(false);
          if (waiting.session === this.session) this.ring.adopt();
        }
        this.answerLate(waiting.session, waiting.tag, this.unlessFailed(status));
        break;
      case 'hello':
        this.begin(waiting.session, waiting.hello, status);
        break;
      case 'marks':
        this.marksSaved(status);
        break;
      case 'poison':
        break;
    }
    this.admitArriving();
  }

  private refusalOf(hello: Hello): HelloReply | undefined {
    const { meta } = this;
    if (this.failed) return this.refusal('store_failed', 'the store has failed');
    if (hello.clusterId !== meta.clusterId) {
      return this.refusal('wrong_cluster', `this replica belongs to cluster ${meta.clusterId}`);
    }
    if (hello.volumeId !== meta.volumeId) {
      return this.refusal('wrong_volume', `this replica belongs to volume ${meta.volumeId}`);
    }
    if (hello.replicaId !== meta.replicaId) {
      return this.refusal('unknown_replica', `this replica is ${meta.replicaId}`);
    }
    const stranger = hello.epoch === meta.epoch && hello.token !== meta.token;
    if ((hello.epoch < meta.epoch || stranger) && !this.faults.has('no_fence')) {
      return this.refusal('fenced', `epoch ${meta.epoch} has begun`);
    }
    return undefined;
  }

  private refusal(code: RefusalCode, message: string): HelloReply {
    return { ok: false, code, message, epoch: this.meta.epoch };
  }

  private refuseArriving(): void {
    const arriving = this.arriving;
    this.arriving = undefined;
    if (arriving === undefined) return;
    this.deps.host.helloReply(arriving.session, this.refusal('fenced', 'a later hello came in'));
  }

  /**
   * Ends the present session: its mutations that wait for marks are forgotten,
   * so that none is carried out after a newer coordinator was answered.
   */
  private endSession(): void {
    if (this.session === noSession) return;
    const ended = this.session;
    this.session = noSession;
    this.unmarked.length = 0;
    this.deps.host.dropSession(ended);
  }

  /** Persists the newcomer's epoch as soon as no copy or save of meta of its predecessor runs. */
  private admitArriving(): void {
    if (this.arriving === undefined) return;
    for (const waiting of this.waiting.values()) {
      if (waiting.type !== 'flush' && waiting.type !== 'marks') return;
    }
    const { session, hello } = this.arriving;
    this.arriving = undefined;
    // The fence may have moved while this one waited.
    const refusal = this.refusalOf(hello);
    if (refusal !== undefined) {
      this.deps.host.helloReply(session, refusal);
      return;
    }
    this.meta = { ...this.meta, epoch: hello.epoch, token: hello.token };
    const ticket = this.ticket({ type: 'hello', session, hello });
    this.deps.store.saveMeta(this.meta, ticket);
  }

  private begin(session: number, hello: Hello, status: number): void {
    if (status !== Status.ok) {
      this.poison();
      this.deps.host.helloReply(session, this.refusal('store_failed', `saving failed: ${status}`));
      return;
    }
    // A later hello is waiting: it will be served next, this one is already history.
    if (this.arriving !== undefined) {
      this.deps.host.helloReply(session, this.refusal('fenced', 'a later hello came in'));
      return;
    }
    const now = this.deps.clock.now();
    const leaseEnd = this.ring.supersedeLeases(hello.epoch, hello.previousOwnerDead);
    this.ring.beginEpoch(hello.epoch);
    this.session = session;
    this.deps.host.helloReply(session, {
      ok: true,
      lossy: this.meta.lossy && !this.faults.has('lossy_trusted'),
      blank: this.meta.blank,
      ringIntact: !this.ring.lost,
      ring: this.ring.ranges(),
      marks: this.deps.store.marks.slice(),
      leaseRemainingMs: Math.max(0, leaseEnd - now),
      sizeBytes: this.meta.sizeBytes,
    });
  }

  private read(slot: number): void {
    const { slots, store } = this.deps;
    const status = this.outside(slot)
      ? Status.invalid
      : store.read(slots.address(slot), slots.offset[slot], slots.length[slot]);
    this.deps.host.reply(this.session, slot, status);
  }

  private flush(slot: number): void {
    if (this.failed) {
      this.deps.host.reply(this.session, slot, Status.ioError);
      return;
    }
    this.deps.store.sync(this.ticket({ type: 'flush', session: this.session, slot }));
  }

  private mutate(slot: number): void {
    const { slots, store, geometry } = this.deps;
    if (this.failed || this.outside(slot)) {
      this.deps.host.reply(this.session, slot, this.failed ? Status.ioError : Status.invalid);
      return;
    }
    if (hasRange(this.ready, geometry.chunkBytes, slots.offset[slot], slots.length[slot])) {
      this.carryOut(slot);
      return;
    }
    if (this.faults.has('marks_dropped')) {
      this.carryOut(slot);
      return;
    }
    // The mark must be durable first: after a power cut it alone tells where this replica may differ.
    setRange(store.marks, geometry.chunkBytes, slots.offset[slot], slots.length[slot]);
    this.unmarked.push(slot);
    this.wantMarks();
  }

  private wantMarks(): void {
    if (this.marksRequested) return;
    this.marksRequested = true;
    this.persistMarks(() => {
      this.marksRequested = false;
      this.carryOutMarked();
    });
  }

  private carryOut(slot: number): void {
    const { slots, store } = this.deps;
    const offset = slots.offset[slot];
    const length = slots.length[slot];
    const seq = slots.seq[slot];
    if (seq > 0) this.ring.record(seq, offset, length);
    const status =
      slots.kind[slot] === OpKind.write
        ? store.write(slots.address(slot), offset, length)
        : store.zero(offset, length);
    this.deps.host.reply(this.session, slot, status);
  }

  /**
   * Saves the marks as they are now or will be a little later; one save runs at
   * a time, so that what is on disk is always what the last one wrote.
   */
  private persistMarks(done: (status: number) => void): void {
    this.marksWanted.push(done);
    if (this.saving === undefined) this.startSave();
  }

  private startSave(): void {
    this.saving = this.deps.store.marks.slice();
    this.marksSaving = this.marksWanted;
    this.marksWanted = [];
    this.deps.store.saveMarks(this.ticket({ type: 'marks' }));
  }

  private marksSaved(status: number): void {
    assert(this.saving !== undefined, 'marks were saved that nobody asked to save');
    const { marks } = this.deps.store;
    if (status === Status.ok) {
      this.ready = resized(this.saving, marks.length);
      // A mark cleared meanwhile may be durable, but the next save forgets it again.
      for (let index = 0; index < this.ready.length; index += 1) this.ready[index] &= marks[index];
    } else {
      this.poison();
    }
    this.saving = undefined;
    const done = this.marksSaving;
    this.marksSaving = [];
    if (this.marksWanted.length > 0) this.startSave();
    for (const callback of done) callback(status);
  }

  private carryOutMarked(): void {
    const { slots, geometry } = this.deps;
    const waiting = this.unmarked.splice(0);
    const { session } = this;
    for (const slot of waiting) {
      // An answer may have ended the session: the rest is no longer ours to carry out.
      if (session !== this.session) return;
      const offset = slots.offset[slot];
      const length = slots.length[slot];
      if (this.failed) this.deps.host.reply(this.session, slot, Status.ioError);
      else if (hasRange(this.ready, geometry.chunkBytes, offset, length)) this.carryOut(slot);
      else {
        setRange(this.deps.store.marks, geometry.chunkBytes, offset, length);
        this.unmarked.push(slot);
        this.wantMarks();
      }
    }
  }

  /**
   * Clearing need not be durable, for too many marks only cost time. But with
   * none left the replica survives a power cut as whole, which is worth a save.
   */
  private clearMarks(tag: number, chunks: Uint8Array): void {
    andNotInto(this.deps.store.marks, chunks);
    andNotInto(this.ready, chunks);
    if (!isEmpty(this.deps.store.marks)) return this.answer(tag, Status.ok);
    const { session } = this;
    this.persistMarks((status) => this.answerLate(session, tag, status));
  }

  private hash(tag: number, offset: number, length: number): void {
    const { geometry, store } = this.deps;
    if (offset + length > this.meta.sizeBytes || length > geometry.maxHashBytes) {
      return this.answer(tag, Status.invalid);
    }
    const digests = store.hash(offset, length);
    if (typeof digests === 'number') return this.answer(tag, digests);
    this.deps.host.controlReply(this.session, tag, { status: Status.ok, digests });
  }

  private admit(tag: number, marks: Uint8Array): void {
    orInto(this.deps.store.marks, marks);
    const { session } = this;
    this.persistMarks((status) => this.admitMarksSaved(session, tag, status));
  }

  /** Only with its marks on disk may the replica count as whole. */
  private admitMarksSaved(session: number, tag: number, status: number): void {
    if (session !== this.session) return;
    if (status !== Status.ok) {
      this.poison();
      return this.answer(tag, status);
    }
    this.meta = { ...this.meta, lossy: false, blank: false };
    this.deps.store.saveMeta(this.meta, this.ticket({ type: 'admit', session, tag }));
  }

  private resize(tag: number, sizeBytes: number): void {
    if (sizeBytes < this.meta.sizeBytes) return this.answer(tag, Status.invalid);
    this.meta = { ...this.meta, sizeBytes };
    const ticket = this.ticket({ type: 'control', session: this.session, tag });
    this.deps.store.saveMeta(this.meta, ticket);
    this.ready = resized(this.ready, bitmapBytes(sizeBytes, this.deps.geometry.chunkBytes));
  }

  /**
   * A failed sync or save means that pages may have been dropped (Linux marks
   * them clean after reporting the error once): nothing here can be trusted
   * until a coordinator has compared it.
   */
  private poison(): void {
    if (this.failed) return;
    this.failed = true;
    this.ring.noteStoreFailed(true);
    this.meta = { ...this.meta, lossy: true };
    this.deps.store.saveMeta(this.meta, this.ticket({ type: 'poison' }));
  }

  /** After one sync has failed, a later one succeeds although what the first had is lost. */
  private unlessFailed(status: number): number {
    return this.failed && status === Status.ok ? Status.ioError : status;
  }

  private outside(slot: number): boolean {
    const { slots } = this.deps;
    return slots.offset[slot] + slots.length[slot] > this.meta.sizeBytes;
  }

  private answer(tag: number, status: number): void {
    this.deps.host.controlReply(this.session, tag, { status });
  }

  private answerLate(session: number, tag: number, status: number): void {
    if (session === this.session) this.deps.host.controlReply(session, tag, { status });
  }

  private ticket(waiting: Waiting): number {
    const ticket = this.nextTicket;
    this.nextTicket += 1;
    this.waiting.set(ticket, waiting);
    return ticket;
  }
}
