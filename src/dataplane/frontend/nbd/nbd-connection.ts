import { maxIoBytes, OpKind } from '../../protocol/ops.js';
import type { DescriptorHandler, Frontend, IoLoop } from '../../io/ports.js';
import type { TurnHandler, VolumeTarget } from '../../io/ports.js';
import type { NativeSlotTable } from '../../io/slot-table.js';
import { EpollEvent } from '../../sys/epoll.js';
import { closeFile } from '../../sys/files.js';
import { Errno } from '../../sys/libc.js';
import { allocateMemory, copyMemory } from '../../sys/memory.js';
import type { NativeMemory } from '../../sys/memory.js';
import { receive, send } from '../../sys/sockets.js';
import { Negotiation } from './negotiation.js';
import type { NbdExport, NbdExports } from './nbd-export.js';
import * as wire from './nbd-wire.js';
import { Command } from './nbd-wire.js';
import { SendRing } from './send-ring.js';

/** Holds many small requests; what is longer goes straight into its slot. */
const bufferBytes = 64 * 1024;
/** One connection must not keep its neighbours on the thread waiting for longer. */
const maxReceivesPerWake = 16;

/** Where a request's own words lie in the header page of its slot. */
const State = { cookieLow: 0, cookieHigh: 1, command: 2, flushNext: 3 } as const;

export interface NbdConnectionParts {
  readonly loop: IoLoop;
  readonly slots: NativeSlotTable;
  readonly fd: number;
  readonly exports: NbdExports;
  /** The descriptor was closed and every slot is free again. */
  readonly onClosed: (connection: NbdConnection) => void;
}

/** One client: negotiation, then requests into slots and replies out of them. */
export class NbdConnection implements Frontend, DescriptorHandler {
  private readonly parts: NbdConnectionParts;
  private readonly negotiation: Negotiation;
  private readonly ring: SendRing;
  private readonly buffer: NativeMemory;
  private readonly bytes: Buffer;
  private readonly view: DataView;
  private readonly slotView: DataView;
  private readonly slotWords: Uint32Array;
  private readonly turn: TurnHandler = { onTurn: () => this.flushReplies() };
  private readonly slotFree: TurnHandler = { onTurn: () => this.resume() };

  private exported: NbdExport | undefined;
  private target: VolumeTarget | undefined;
  private start = 0;
  private end = 0;
  /** The write whose payload is arriving, and how much of it is here. */
  private filling = -1;
  private filled = 0;
  /** Payload of a refused write that still has to be read and thrown away. */
  private skipping = 0;
  private taken = 0;
  private interest: number = EpollEvent.IN;
  private starved = false;
  private ending = false;
  private broken = false;
  private closed = false;
  /** The ring holds replies: it is flushed at the end of the turn. */
  private unsent = false;
  private greetingRest: Buffer = Buffer.alloc(0);

  constructor(parts: NbdConnectionParts) {
    this.parts = parts;
    this.negotiation = new Negotiation(parts.exports);
    this.ring = new SendRing(parts.slots);
    this.buffer = allocateMemory(bufferBytes);
    this.bytes = Buffer.from(this.buffer.buffer, 0, bufferBytes);
    this.view = new DataView(this.buffer.buffer);
    this.slotView = new DataView(parts.slots.buffer);
    this.slotWords = new Uint32Array(parts.slots.buffer);
    parts.loop.watch(parts.fd, EpollEvent.IN, this);
    parts.loop.onSlotFree(this.slotFree);
    parts.loop.everyTurn(this.turn);
  }

  /** Greets the client: it speaks only after that. */
  begin(): void {
    this.sendNegotiation(this.negotiation.greeting());
  }

  get inFlight(): number {
    return this.taken;
  }

  onEvents(_fd: number, events: number): void {
    if ((events & EpollEvent.OUT) !== 0) {
      if (this.greetingRest.length > 0) this.sendNegotiation(Buffer.alloc(0));
      this.flushReplies();
    }
    if ((events & (EpollEvent.IN | EpollEvent.ERR | EpollEvent.HUP)) !== 0) this.read();
  }

  complete(slot: number, status: number): void {
    const words = this.slotWords;
    const state = this.state(slot);
    if (status === 0 && words[state + State.flushNext] === 1) {
      // Forced unit access: the reply says that the data is stable.
      words[state + State.flushNext] = 0;
      this.parts.slots.kind[slot] = OpKind.flush;
      this.target?.submit(slot);
      return;
    }
    this.taken--;
    this.reply(slot, status);
  }

  /** Takes no more requests; what is at work is answered, then the descriptor is closed. */
  close(): void {
    this.ending = true;
    this.endWhenDone();
  }

  private read(): void {
    for (let count = 0; count < maxReceivesPerWake && !this.ending; count++) {
      if (!this.consume()) return;
      const received = this.fillsDirectly() ? this.receiveToSlot() : this.receiveToBuffer();
      if (received === -Errno.EAGAIN) return;
      if (received <= 0) return this.fail();
    }
    this.consume();
  }

  /** The rest of a long payload; a short one comes with the next requests in one call. */
  private fillsDirectly(): boolean {
    if (this.filling < 0 || this.start < this.end) return false;
    return (this.parts.slots.length[this.filling] ?? 0) - this.filled >= bufferBytes / 2;
  }

  /** Bytes, 0 at the end of the stream, or -errno. */
  private receiveToSlot(): number {
    const { slots, fd } = this.parts;
    const missing = (slots.length[this.filling] ?? 0) - this.filled;
    const received = receive(fd, slots.address(this.filling) + this.filled, missing);
    if (received > 0) this.filled += received;
    return received;
  }

  private receiveToBuffer(): number {
    if (this.start > 0) {
      // At most one incomplete header or payload piece is left to move.
      this.bytes.copyWithin(0, this.start, this.end);
      this.end -= this.start;
      this.start = 0;
    }
    const received = receive(this.parts.fd, this.buffer.address + this.end, bufferBytes - this.end);
    if (received > 0) this.end += received;
    return received;
  }

  /** Uses what is in the buffer. False: it cannot go on until a slot is free, or at all. */
  private consume(): boolean {
    while (!this.ending) {
      if (this.skipping > 0) {
        const skipped = Math.min(this.skipping, this.end - this.start);
        this.skipping -= skipped;
        this.start += skipped;
        if (this.skipping > 0) return true;
      } else if (this.filling >= 0) {
        if (!this.fillSlot()) return true;
      } else if (this.target === undefined) {
        if (!this.negotiate()) return !this.ending;
      } else {
        if (this.end - this.start < wire.requestBytes) return true;
        if (!this.takeRequest(this.target)) return false;
      }
    }
    return false;
  }

  /** Moves buffered payload to its slot; true when the write is whole and submitted. */
  private fillSlot(): boolean {
    const { slots } = this.parts;
    const slot = this.filling;
    const length = slots.length[slot] ?? 0;
    const piece = Math.min(length - this.filled, this.end - this.start);
    if (piece > 0) {
      copyMemory(slots.address(slot) + this.filled, this.buffer.address + this.start, piece);
      this.start += piece;
      this.filled += piece;
    }
    if (this.filled < length) return false;
    this.filling = -1;
    this.target?.submit(slot);
    return true;
  }

  private negotiate(): boolean {
    const step = this.negotiation.step(this.bytes.subarray(this.start, this.end));
    this.start += step.used;
    if (step.reply.length > 0) this.sendNegotiation(step.reply);
    if (step.outcome === 'close') {
      this.close();
      return false;
    }
    if (this.ending) return false;
    if (step.outcome === 'serve' && this.negotiation.chosen !== undefined) {
      this.exported = this.negotiation.chosen;
      this.target = this.exported.connect(this);
    }
    return step.used > 0;
  }

  private sendNegotiation(reply: Buffer): void {
    const data = this.greetingRest.length > 0 ? Buffer.concat([this.greetingRest, reply]) : reply;
    const room = bufferBytes / 2;
    const length = Math.min(data.length, room);
    data.copy(this.bytes, room, 0, length);
    const sent = send(this.parts.fd, this.buffer.address + room, length);
    if (sent < 0 && sent !== -Errno.EAGAIN) return this.fail();
    this.greetingRest = Buffer.from(data.subarray(Math.max(0, sent)));
    this.updateInterest();
  }

  /** False when there is no slot for it. */
  private takeRequest(target: VolumeTarget): boolean {
    const { slots } = this.parts;
    const view = this.view;
    const at = this.start;
    if (view.getUint32(at) !== wire.Magic.request) {
      this.fail();
      return false;
    }
    const command = view.getUint16(at + 6);
    if (command === Command.DISCONNECT) {
      this.close();
      return false;
    }
    const slot = slots.acquire();
    this.starved = slot === -1;
    if (this.starved) {
      this.updateInterest();
      return false;
    }
    this.start += wire.requestBytes;
    const offset = view.getUint32(at + 16) * 4294967296 + view.getUint32(at + 20);
    const length = view.getUint32(at + 24);
    const state = this.state(slot);
    this.slotWords[state + State.cookieHigh] = view.getUint32(at + 8);
    this.slotWords[state + State.cookieLow] = view.getUint32(at + 12);
    this.slotWords[state + State.command] = command;
    slots.offset[slot] = offset;
    slots.length[slot] = length;
    this.accept(slot, target, view.getUint16(at + 4));
    return true;
  }

  private accept(slot: number, target: VolumeTarget, flags: number): void {
    const { slots } = this.parts;
    const command = this.slotWords[this.state(slot) + State.command] ?? 0;
    const length = slots.length[slot] ?? 0;
    const kind = kindOf(command);
    const fault = this.faultOf(kind, slots.offset[slot] ?? 0, length);
    const isWrite = command === Command.WRITE;
    if (fault !== 0 || (length === 0 && kind !== OpKind.flush)) {
      if (isWrite) this.skipping = length;
      return this.reply(slot, fault);
    }
    const fua = (flags & wire.CommandFlag.FUA) !== 0 && kind !== OpKind.read;
    this.slotWords[this.state(slot) + State.flushNext] = fua && kind !== OpKind.flush ? 1 : 0;
    slots.kind[slot] = kind ?? 0;
    if (kind === OpKind.flush) {
      slots.offset[slot] = 0;
      slots.length[slot] = 0;
    }
    this.taken++;
    if (!isWrite) return target.submit(slot);
    this.filling = slot;
    this.filled = 0;
  }

  private faultOf(kind: OpKind | undefined, offset: number, length: number): number {
    const exported = this.exported;
    if (kind === undefined || exported === undefined) return Errno.EINVAL;
    if (kind === OpKind.flush) return 0;
    if (kind !== OpKind.read && exported.readOnly) return Errno.EPERM;
    const { blockSizeBytes, sizeBytes } = exported;
    if (offset % blockSizeBytes !== 0 || length % blockSizeBytes !== 0) return Errno.EINVAL;
    if (kind !== OpKind.zero && length > maxIoBytes) return Errno.EINVAL;
    if (offset + length <= sizeBytes) return 0;
    // What the protocol asks for beyond the end: ENOSPC for writes, EINVAL for reads.
    return kind === OpKind.read ? Errno.EINVAL : Errno.ENOSPC;
  }

  private reply(slot: number, status: number): void {
    const { slots } = this.parts;
    if (this.broken) {
      slots.release(slot);
      return this.endWhenDone();
    }
    const isRead = this.slotWords[this.state(slot) + State.command] === Command.READ;
    const dataLength = isRead && status === 0 ? (slots.length[slot] ?? 0) : 0;
    const headerLength =
      isRead && this.negotiation.structuredReplies
        ? this.putChunkHeader(slot, status, dataLength)
        : this.putSimpleReply(slot, status);
    this.ring.push(slot, headerLength, dataLength);
    this.unsent = true;
    this.parts.loop.soon();
  }

  private putSimpleReply(slot: number, status: number): number {
    const at = this.parts.slots.payloadOffset(slot) - wire.simpleReplyBytes;
    this.slotView.setUint32(at, wire.Magic.simpleReply);
    this.slotView.setUint32(at + 4, wire.wireError(status));
    this.putCookie(slot, at + 8);
    return wire.simpleReplyBytes;
  }

  /** Structured replies are a must for reads once agreed on, and only for them. */
  private putChunkHeader(slot: number, status: number, dataLength: number): number {
    const view = this.slotView;
    const headerLength = status === 0 ? wire.dataChunkBytes : wire.errorChunkBytes;
    const at = this.parts.slots.payloadOffset(slot) - headerLength;
    view.setUint32(at, wire.Magic.structuredReply);
    view.setUint16(at + 4, wire.ChunkFlag.DONE);
    view.setUint16(at + 6, status === 0 ? wire.ChunkType.OFFSET_DATA : wire.ChunkType.ERROR);
    this.putCookie(slot, at + 8);
    view.setUint32(at + 16, headerLength - 20 + dataLength);
    if (status === 0) {
      const offset = this.parts.slots.offset[slot] ?? 0;
      view.setUint32(at + 20, Math.floor(offset / 4294967296));
      view.setUint32(at + 24, offset >>> 0);
    } else {
      view.setUint32(at + 20, wire.wireError(status));
      view.setUint16(at + 24, 0);
    }
    return headerLength;
  }

  private putCookie(slot: number, at: number): void {
    const state = this.state(slot);
    this.slotView.setUint32(at, this.slotWords[state + State.cookieHigh] ?? 0);
    this.slotView.setUint32(at + 4, this.slotWords[state + State.cookieLow] ?? 0);
  }

  private flushReplies(): void {
    if (!this.unsent || this.closed) return;
    const result = this.ring.flush(this.parts.fd);
    if (result < 0 && result !== -Errno.EAGAIN) return this.fail();
    this.unsent = !this.ring.empty;
    this.updateInterest();
    this.endWhenDone();
  }

  private resume(): void {
    if (!this.starved || this.closed) return;
    this.starved = false;
    this.updateInterest();
    this.read();
  }

  private updateInterest(): void {
    if (this.closed) return;
    const waiting = this.greetingRest.length > 0 || !this.ring.empty;
    const reading = !this.starved && !this.ending;
    const wanted = (reading ? EpollEvent.IN : 0) | (waiting ? EpollEvent.OUT : 0);
    if (wanted === this.interest) return;
    this.interest = wanted;
    this.parts.loop.change(this.parts.fd, wanted);
  }

  /** The client is gone or talks nonsense: nothing more can be said to it. */
  private fail(): void {
    this.broken = true;
    this.ring.drop();
    this.close();
  }

  private endWhenDone(): void {
    if (this.closed || !this.ending) return;
    if (this.filling >= 0) {
      // Its payload never came whole, so the target has not seen it.
      this.parts.slots.release(this.filling);
      this.filling = -1;
      this.taken--;
    }
    this.updateInterest();
    if (this.taken > 0 || !this.ring.empty) return;
    this.closed = true;
    const { loop, fd } = this.parts;
    loop.unwatch(fd);
    loop.removeTurn(this.turn);
    loop.removeSlotFree(this.slotFree);
    closeFile(fd);
    this.buffer.unmap();
    this.exported?.disconnect(this);
    this.parts.onClosed(this);
  }

  /** The first of the words that a connection keeps in the slot's header page. */
  private state(slot: number): number {
    return this.parts.slots.headerOffset(slot) >> 2;
  }
}

function kindOf(command: number): OpKind | undefined {
  switch (command) {
    case Command.READ:
      return OpKind.read;
    case Command.WRITE:
      return OpKind.write;
    case Command.FLUSH:
      return OpKind.flush;
    case Command.TRIM:
    case Command.WRITE_ZEROES:
      return OpKind.zero;
    default:
      return undefined;
  }
}
