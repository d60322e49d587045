import { refusal, refusalOf } from './hello-refusal.js';
import type { ControlMessage, Hello, HelloReply, RefusalCode } from './messages.js';
import { OpKind, Status } from './ops.js';
import type { ReplicaDeps } from './replica-core.js';
import { ReplicaCore, noSession } from './replica-core.js';
import { ReplicaWrites } from './replica-writes.js';

/**
 * One replica of a volume: it obeys one coordinator at a time, the one with the
 * newest epoch, and answers only what its store has done.
 *
 * This is its surface, and whom it obeys. A write's way is in
 * `replica-writes.ts`, its marks' in `durable-marks.ts`. The rules that it keeps,
 * and their reasons, are in `docs/protocol.md`: M1 and M3, T2, L1 and L2, W6.
 */
export class Replica {
  private readonly core: ReplicaCore;
  private readonly writes: ReplicaWrites;
  /** The newest hello, until everything of the session before it has ended. */
  private arriving: { session: number; hello: Hello } | undefined;

  constructor(private readonly deps: ReplicaDeps) {
    this.core = new ReplicaCore(deps);
    this.writes = new ReplicaWrites(this.core);
  }

  get sizeBytes(): number {
    return this.core.meta.sizeBytes;
  }

  get epoch(): number {
    return this.core.meta.epoch;
  }

  /** No coordinator can serve the volume without this replica's lease (rule L1). */
  get isLeased(): boolean {
    return this.deps.clock.now() < this.core.ring.leasedUntil;
  }

  /** A coordinator asks to be obeyed. Answered by `helloReply`, once the one before it is silent. */
  hello(session: number, hello: Hello): void {
    const refused = this.refusalOf(hello);
    if (refused !== undefined) {
      this.deps.host.helloReply(session, refused);
      return;
    }
    if (this.arriving !== undefined) this.refuseArriving();
    this.arriving = { session, hello };
    this.endSession();
    this.admitArriving();
  }

  /** A read, write, zero or flush in a slot that the session owns until it is answered. */
  submit(session: number, slot: number, completedSeq: number): void {
    if (session !== this.core.session) {
      this.deps.host.reply(session, slot, Status.fenced);
      return;
    }
    this.core.ring.completed(completedSeq);
    const kind = this.deps.slots.kind[slot];
    if (kind === OpKind.read) this.read(slot);
    else if (kind === OpKind.flush) this.flush(slot);
    else this.writes.mutate(slot);
  }

  control(session: number, tag: number, message: ControlMessage): void {
    if (session !== this.core.session) {
      this.deps.host.controlReply(session, tag, { status: Status.fenced });
      return;
    }
    switch (message.type) {
      case 'heartbeat':
        this.core.ring.completed(message.completedSeq);
        this.core.ring.grantLease(this.core.meta.epoch, this.deps.clock.now() + this.deps.leaseMs);
        return this.answer(tag, this.core.failed ? Status.ioError : Status.ok);
      case 'hash':
        return this.hash(tag, message.offset, message.length);
      case 'clear_marks':
        return this.clearMarks(tag, message.chunks);
      case 'admit':
        return this.admit(tag, message.marks);
      case 'resize':
        return this.resize(tag, message.sizeBytes);
      case 'copy_to': {
        const ticket = this.core.tickets.issue({ type: 'control', session, tag });
        this.deps.store.copyTo(message.targetVolumeId, message.targetReplicaId, ticket);
        return;
      }
      case 'copy_from': {
        const ticket = this.core.tickets.issue({ type: 'control', session, tag });
        this.deps.store.copyFrom(message.sourceVolumeId, ticket);
        return;
      }
      case 'bye':
        this.core.ring.grantLease(this.core.meta.epoch, 0);
        return this.answer(tag, Status.ok);
    }
  }

  /** The connection is gone: nothing of it is carried out any more. */
  closeSession(session: number): void {
    if (this.arriving?.session === session) this.arriving = undefined;
    if (this.core.session === session) this.endSession();
  }

  /** The store's answer to a call that named this ticket. */
  onStoreDone(ticket: number, status: number): void {
    const waiting = this.core.tickets.take(ticket);
    switch (waiting.type) {
      case 'flush':
        if (status !== Status.ok) this.core.poison();
        if (waiting.session === this.core.session) {
          this.deps.host.reply(waiting.session, waiting.slot, this.core.unlessFailed(status));
        }
        break;
      case 'control':
        this.core.answer(waiting.session, waiting.tag, this.core.unlessFailed(status));
        break;
      case 'admit':
        if (status === Status.ok && !this.core.failed) {
          this.core.ring.noteStoreFailed(false);
          if (waiting.session === this.core.session) this.core.ring.adopt();
        }
        this.core.answer(waiting.session, waiting.tag, this.core.unlessFailed(status));
        break;
      case 'hello':
        this.begin(waiting.session, waiting.hello, status);
        break;
      case 'marks':
        if (status !== Status.ok) this.core.poison();
        this.core.marks.saved(status);
        break;
      case 'poison':
        break;
    }
    this.admitArriving();
  }

  private refusalOf(hello: Hello): HelloReply | undefined {
    return refusalOf(hello, this.core.meta, this.core.failed, this.core.faults);
  }

  private refuse(session: number, code: RefusalCode, message: string): void {
    this.deps.host.helloReply(session, refusal(this.core.meta, code, message));
  }

  private refuseArriving(): void {
    const arriving = this.arriving;
    this.arriving = undefined;
    if (arriving === undefined) return;
    this.refuse(arriving.session, 'fenced', 'a later hello came in');
  }

  /**
   * Ends the present session: its mutations that wait for marks are forgotten,
   * so that none is carried out after a newer coordinator was answered.
   */
  private endSession(): void {
    if (this.core.session === noSession) return;
    const ended = this.core.session;
    this.core.session = noSession;
    this.writes.forget();
    this.deps.host.dropSession(ended);
  }

  /** Persists the newcomer's epoch as soon as no copy or save of meta of its predecessor runs. */
  private admitArriving(): void {
    if (this.arriving === undefined || this.core.tickets.holdNewcomers) return;
    const { session, hello } = this.arriving;
    this.arriving = undefined;
    // The fence may have moved while this one waited.
    const refused = this.refusalOf(hello);
    if (refused !== undefined) {
      this.deps.host.helloReply(session, refused);
      return;
    }
    this.core.meta = { ...this.core.meta, epoch: hello.epoch, token: hello.token };
    const ticket = this.core.tickets.issue({ type: 'hello', session, hello });
    this.deps.store.saveMeta(this.core.meta, ticket);
  }

  private begin(session: number, hello: Hello, status: number): void {
    if (status !== Status.ok) {
      this.core.poison();
      this.refuse(session, 'store_failed', `saving failed: ${status}`);
      return;
    }
    // A later hello is waiting: it will be served next, this one is already history.
    if (this.arriving !== undefined) {
      this.refuse(session, 'fenced', 'a later hello came in');
      return;
    }
    const now = this.deps.clock.now();
    const leaseEnd = this.core.ring.supersedeLeases(hello.epoch, hello.previousOwnerDead);
    this.core.ring.beginEpoch(hello.epoch);
    this.core.session = session;
    this.deps.host.helloReply(session, {
      ok: true,
      lossy: this.core.meta.lossy && !this.core.faults.has('lossy_trusted'),
      blank: this.core.meta.blank,
      ringIntact: !this.core.ring.lost,
      ring: this.core.ring.ranges(),
      marks: this.deps.store.marks.slice(),
      leaseRemainingMs: Math.max(0, leaseEnd - now),
      sizeBytes: this.core.meta.sizeBytes,
    });
  }

  private read(slot: number): void {
    const { slots, store } = this.deps;
    const status = this.core.outside(slot)
      ? Status.invalid
      : store.read(slots.address(slot), slots.offset[slot], slots.length[slot]);
    this.core.reply(slot, status);
  }

  private flush(slot: number): void {
    if (this.core.failed) {
      this.core.reply(slot, Status.ioError);
      return;
    }
    this.deps.store.sync(
      this.core.tickets.issue({ type: 'flush', session: this.core.session, slot }),
    );
  }

  /**
   * Clearing need not be durable, for too many marks only cost time. But with
   * none left the replica survives a power cut as whole, which is worth a save.
   */
  private clearMarks(tag: number, chunks: Uint8Array): void {
    if (!this.core.marks.clear(chunks)) return this.answer(tag, Status.ok);
    const { session } = this.core;
    this.core.marks.persist((status) => this.core.answer(session, tag, status));
  }

  private hash(tag: number, offset: number, length: number): void {
    const { geometry, store } = this.deps;
    if (offset + length > this.core.meta.sizeBytes || length > geometry.maxHashBytes) {
      return this.answer(tag, Status.invalid);
    }
    const digests = store.hash(offset, length);
    if (typeof digests === 'number') return this.answer(tag, digests);
    this.deps.host.controlReply(this.core.session, tag, { status: Status.ok, digests });
  }

  private admit(tag: number, marks: Uint8Array): void {
    this.core.marks.add(marks);
    const { session } = this.core;
    this.core.marks.persist((status) => this.admitMarksSaved(session, tag, status));
  }

  /** Only with its marks on disk may the replica count as whole. */
  private admitMarksSaved(session: number, tag: number, status: number): void {
    if (session !== this.core.session) return;
    if (status !== Status.ok) {
      this.core.poison();
      return this.answer(tag, status);
    }
    this.core.meta = { ...this.core.meta, lossy: false, blank: false };
    this.deps.store.saveMeta(
      this.core.meta,
      this.core.tickets.issue({ type: 'admit', session, tag }),
    );
  }

  private resize(tag: number, sizeBytes: number): void {
    if (sizeBytes < this.core.meta.sizeBytes) return this.answer(tag, Status.invalid);
    this.core.meta = { ...this.core.meta, sizeBytes };
    const ticket = this.core.tickets.issue({ type: 'control', session: this.core.session, tag });
    this.deps.store.saveMeta(this.core.meta, ticket);
    this.core.marks.grow(sizeBytes);
  }

  private answer(tag: number, status: number): void {
    this.core.answer(this.core.session, tag, status);
  }
}
