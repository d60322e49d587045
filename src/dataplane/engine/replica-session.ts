import type { ControlReply, Hello, HelloReply } from '../protocol/messages.js';
import { OpKind } from '../protocol/ops.js';
import { decodeControl, encodeControlReply, encodeHelloReply } from '../wire/bodies.js';
import { payloadChecksum } from '../wire/checksum.js';
import { SlotAnswer } from '../wire/frame-reader.js';
import { FrameHeader, FrameType } from '../wire/frame.js';
import { FrameConnection, type ConnectionDeps, type ConnectionOwner } from './frame-connection.js';
import {
  type ReplicaCore,
  type ReplicaFinder,
  type ReplicaRegistry,
  type SessionOwner,
  unknownReplica,
} from './replica-registry.js';
import type { SlotPool, SlotWaiter } from './slot-pool.js';
import type { SlotViews } from './slot-views.js';

export interface ReplicaSessionDeps extends ConnectionDeps {
  readonly registry: ReplicaRegistry;
  readonly replicas: ReplicaFinder;
  readonly pool: SlotPool;
  readonly views: SlotViews;
  readonly clusterId: string;
  readonly nodeId: string;
  /** The session object may be used for another connection. */
  recycle(session: ReplicaSession): void;
}

/** One peer must not take every slot: a queue depth of 128 a volume is the most asked for. */
const maxHeldSlots = 128;
const notHeld = -1;
const noSession = -1;

/** A remote coordinator's session: its requests become calls of the replica core. */
export class ReplicaSession implements ConnectionOwner, SessionOwner, SlotWaiter {
  private readonly connection: FrameConnection;
  private readonly header = new FrameHeader();
  /** The coordinator's own number of the request in each slot held here. */
  private readonly tags: Float64Array;
  private held = 0;
  private session = noSession;
  private replica: ReplicaCore | undefined;
  private greeted = false;
  /** A refused coordinator is told why before the connection ends. */
  private closing = false;

  constructor(private readonly deps: ReplicaSessionDeps) {
    this.connection = new FrameConnection(deps, this);
    this.tags = new Float64Array(deps.loop.slots.capacity).fill(notHeld);
  }

  /** Takes over a connection whose HELLO was read already. */
  open(fd: number, hello: Hello): void {
    this.greeted = false;
    this.closing = false;
    this.connection.open(fd, false, 1);
    this.session = this.deps.registry.begin(this, hello.volumeId);
    this.replica = this.deps.replicas.find(hello);
    if (this.replica === undefined) this.onHelloReply(unknownReplica(hello));
    else this.replica.hello(this.session, hello);
  }

  resume(): void {
    this.connection.resume();
  }

  onConnected(): void {
    // Only a connection that was begun here tells this.
  }

  slotFor(header: FrameHeader): number {
    if (!this.greeted || this.closing) return SlotAnswer.refuse;
    switch (header.type) {
      case FrameType.control:
        return SlotAnswer.body;
      case FrameType.read:
      case FrameType.write:
      case FrameType.zero:
      case FrameType.flush:
        return this.takeSlot();
      default:
        return SlotAnswer.refuse;
    }
  }

  payload(slot: number, bytes: number): Uint8Array {
    return this.deps.views.get(slot, bytes);
  }

  onFrame(header: FrameHeader, slot: number, body: Uint8Array): string {
    const session = this.session;
    const replica = this.replica;
    if (replica === undefined) return 'the session has ended';
    if (header.type === FrameType.control) {
      const message = decodeControl(body);
      if (message === null) return 'a control message that is none';
      replica.control(session, header.tag, message);
    } else {
      const { slots } = this.deps.loop;
      slots.kind[slot] = kindOf[header.type];
      slots.offset[slot] = header.offset;
      slots.length[slot] = header.length;
      slots.seq[slot] = header.seq;
      this.tags[slot] = header.tag;
      replica.submit(session, slot, header.completedSeq);
    }
    return session === this.session ? '' : 'closed';
  }

  onPayloadSent(slot: number): void {
    this.freeSlot(slot);
  }

  onClosed(): void {
    const { session, replica } = this;
    this.forget();
    this.deps.registry.end(session);
    replica?.closeSession(session);
    this.deps.recycle(this);
  }

  onHelloReply(reply: HelloReply): void {
    const { clusterId, nodeId } = this.deps;
    this.greeted = reply.ok;
    this.connection.sendBody(
      this.header.clear(FrameType.helloReply, 0),
      encodeHelloReply({ clusterId, nodeId, reply }),
    );
    if (reply.ok) return;
    this.closing = true;
    this.deps.outbox.defer(() => {
      if (this.closing) this.end();
    });
  }

  onReply(slot: number, status: number): void {
    const { slots } = this.deps.loop;
    const header = this.header.clear(FrameType.reply, this.tags[slot]);
    header.status = status;
    if (slots.kind[slot] !== OpKind.read || status !== 0 || slots.length[slot] === 0) {
      this.freeSlot(slot);
      this.connection.sendHeader(header);
      return;
    }
    header.payloadBytes = slots.length[slot];
    header.payloadCrc = payloadChecksum(this.deps.views.get(slot, header.payloadBytes));
    this.connection.sendPayload(header, slots.address(slot), slot);
  }

  onControlReply(tag: number, reply: ControlReply): void {
    this.connection.sendBody(
      this.header.clear(FrameType.controlReply, tag),
      encodeControlReply(reply),
    );
  }

  onDropped(): void {
    this.connection.close();
    this.forget();
    this.deps.recycle(this);
  }

  /** Ends the session from this side. */
  private end(): void {
    if (!this.connection.isOpen) return;
    this.connection.close();
    this.onClosed();
  }

  private takeSlot(): number {
    if (this.held >= maxHeldSlots) {
      this.deps.pool.waitFor(this);
      return SlotAnswer.wait;
    }
    const slot = this.deps.pool.take(this);
    if (slot < 0) return SlotAnswer.wait;
    this.held++;
    this.tags[slot] = 0;
    return slot;
  }

  private freeSlot(slot: number): void {
    this.tags[slot] = notHeld;
    this.held--;
    this.deps.pool.give(slot);
  }

  private forget(): void {
    this.session = noSession;
    this.replica = undefined;
    this.closing = false;
    if (this.held === 0) return;
    for (let slot = 0; slot < this.tags.length; slot++) {
      if (this.tags[slot] !== notHeld) this.freeSlot(slot);
    }
  }
}

const kindOf: number[] = [];
kindOf[FrameType.read] = OpKind.read;
kindOf[FrameType.write] = OpKind.write;
kindOf[FrameType.zero] = OpKind.zero;
kindOf[FrameType.flush] = OpKind.flush;
