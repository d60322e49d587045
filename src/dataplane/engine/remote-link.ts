import { assert } from '../../kernel/assert.js';
import type { ControlMessage, Hello } from '../protocol/messages.js';
import { OpKind } from '../protocol/ops.js';
import type { CoordinatorEvents, ReplicaPort } from '../protocol/ports.js';
import type { SocketAddress } from '../sys/sockets.js';
import {
  decodeControlReply,
  decodeHelloReply,
  encodeControl,
  encodeHello,
} from '../wire/bodies.js';
import { SlotAnswer } from '../wire/frame-reader.js';
import { FrameHeader, FrameType } from '../wire/frame.js';
import { FrameConnection, type ConnectionDeps, type ConnectionOwner } from './frame-connection.js';
import { untracked } from './send-queue.js';
import type { SlotViews } from './slot-views.js';
import type { WriteChecksums } from './write-checksums.js';

export interface RemoteLinkDeps extends ConnectionDeps {
  readonly views: SlotViews;
  readonly checksums: WriteChecksums;
  readonly clusterId: string;
  /** Where the node's engine listens, as last heard; undefined when never. */
  addressOf(nodeId: string): SocketAddress | undefined;
  /** Begins a connection and answers its descriptor. */
  connect(address: SocketAddress): number;
}

const sentAtOnceBytes = 64 * 1024;

const frameTypeOf: number[] = [];
frameTypeOf[OpKind.read] = FrameType.read;
frameTypeOf[OpKind.write] = FrameType.write;
frameTypeOf[OpKind.zero] = FrameType.zero;
frameTypeOf[OpKind.flush] = FrameType.flush;

/** The coordinator's way to a replica on another node: one TCP connection. */
export class RemoteLink implements ReplicaPort, ConnectionOwner {
  private readonly connection: FrameConnection;
  private readonly header = new FrameHeader();
  /** 1 for each slot that this session owes an answer: nothing else may write into a payload. */
  private readonly pending: Uint8Array;
  private outstanding = 0;
  private session = 0;
  private greeted = false;
  private hello: Hello | undefined;

  constructor(
    private readonly deps: RemoteLinkDeps,
    private readonly events: CoordinatorEvents,
    private readonly link: number,
    private readonly nodeId: string,
  ) {
    this.connection = new FrameConnection(deps, this);
    this.pending = new Uint8Array(deps.loop.slots.capacity);
  }

  open(hello: Hello): void {
    this.close();
    this.hello = hello;
    const address = this.deps.addressOf(this.nodeId);
    try {
      if (address === undefined) throw new Error(`node ${this.nodeId} has no known address`);
      this.connection.open(this.deps.connect(address), true);
    } catch (error) {
      this.downSoon(error instanceof Error ? error.message : String(error));
    }
  }

  close(): void {
    this.session++;
    this.greeted = false;
    this.pending.fill(0);
    this.outstanding = 0;
    this.connection.close();
  }

  send(slot: number, completedSeq: number): void {
    if (!this.connection.isOpen) return;
    const { slots } = this.deps.loop;
    const kind = slots.kind[slot];
    const header = this.header.clear(frameTypeOf[kind], slot);
    header.completedSeq = completedSeq;
    this.pending[slot] = 1;
    // Alone, or worth a call of its own: the replica begins while the local one still writes.
    const alone = this.outstanding++ === 0;
    this.put(header, slot, kind);
    if (alone || header.payloadBytes >= sentAtOnceBytes) this.connection.sendNow();
  }

  private put(header: FrameHeader, slot: number, kind: number): void {
    const { slots } = this.deps.loop;
    if (kind === OpKind.flush) {
      this.connection.sendHeader(header);
      return;
    }
    header.offset = slots.offset[slot];
    header.length = slots.length[slot];
    if (kind === OpKind.read) {
      this.connection.sendHeader(header);
      return;
    }
    header.seq = slots.seq[slot];
    if (kind === OpKind.zero) {
      this.connection.sendHeader(header);
      return;
    }
    header.payloadBytes = header.length;
    header.payloadCrc = this.deps.checksums.of(slot, this.deps.outbox.turn);
    this.connection.sendPayload(header, slots.address(slot), untracked);
  }

  control(tag: number, message: ControlMessage): void {
    if (!this.connection.isOpen) return;
    this.connection.sendBody(this.header.clear(FrameType.control, tag), encodeControl(message));
  }

  onConnected(): void {
    assert(this.hello !== undefined, 'a link connects only after it was opened');
    this.connection.sendBody(this.header.clear(FrameType.hello, 0), encodeHello(this.hello));
  }

  onClosed(reason: string): void {
    this.session++;
    this.greeted = false;
    this.pending.fill(0);
    this.outstanding = 0;
    this.events.onLinkDown(this.link, reason);
  }

  onPayloadSent(): void {
    // The slot stays the coordinator's until the replica has answered.
  }

  slotFor(header: FrameHeader): number {
    if (!this.greeted) {
      return header.type === FrameType.helloReply ? SlotAnswer.body : SlotAnswer.refuse;
    }
    if (header.type === FrameType.controlReply) return SlotAnswer.body;
    const slot = header.tag;
    if (header.type !== FrameType.reply || this.pending[slot] !== 1) return SlotAnswer.refuse;
    // A payload of another length than was asked for would be taken for data.
    const { kind, length } = this.deps.loop.slots;
    const expected = kind[slot] === OpKind.read && header.status === 0 ? length[slot] : 0;
    return header.payloadBytes === expected ? slot : SlotAnswer.refuse;
  }

  payload(slot: number, bytes: number): Uint8Array {
    return this.deps.views.get(slot, bytes);
  }

  onFrame(header: FrameHeader, slot: number, body: Uint8Array): string {
    const session = this.session;
    const { type, tag, status } = header;
    if (type === FrameType.reply) {
      this.pending[slot] = 0;
      this.outstanding--;
      this.events.onReply(this.link, slot, status);
    } else if (type === FrameType.controlReply) {
      const reply = decodeControlReply(body);
      if (reply === null) return 'a control reply that is none';
      this.events.onControlReply(this.link, tag, reply);
    } else {
      const frame = decodeHelloReply(body);
      if (frame === null) return 'a hello reply that is none';
      if (frame.clusterId !== this.deps.clusterId || frame.nodeId !== this.nodeId) {
        return `the peer is node ${frame.nodeId} of cluster ${frame.clusterId}`;
      }
      this.greeted = true;
      // A refusal ends the session; the peer's closing must not be told as well.
      if (!frame.reply.ok) this.close();
      this.events.onHello(this.link, frame.reply);
    }
    return session === this.session ? '' : 'closed';
  }

  /** Not from within the caller's call. */
  private downSoon(reason: string): void {
    const session = this.session;
    this.deps.outbox.defer(() => {
      if (session === this.session) this.events.onLinkDown(this.link, reason);
    });
  }
}
