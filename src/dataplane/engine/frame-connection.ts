import type { DescriptorHandler, IoLoop } from '../io/ports.js';
import { EpollEvent } from '../sys/epoll.js';
import { closeFile } from '../sys/files.js';
import { Errno, errnoName } from '../sys/libc.js';
import { allocateMemory } from '../sys/memory.js';
import { receive, setNoDelay, setUserTimeout, socketError } from '../sys/sockets.js';
import { payloadChecksum } from '../wire/checksum.js';
import { FrameReader, type FrameSink } from '../wire/frame-reader.js';
import type { FrameHeader } from '../wire/frame.js';
import type { Flushable, Outbox } from './outbox.js';
import { SendQueue, type SendQueueOwner } from './send-queue.js';

const receiveBufferBytes = 128 * 1024;
/** How often one connection may receive in a row while others wait. */
const roundsPerTurn = 8;
/** A peer that takes nothing for so long is gone (TCP_USER_TIMEOUT). */
const userTimeoutMs = 15_000;

export interface ConnectionOwner extends FrameSink, SendQueueOwner {
  onConnected(): void;
  /** Called once; the descriptor is closed already. Not called after `close`. */
  onClosed(reason: string): void;
}

/** What every connection of an I/O thread needs. */
export interface ConnectionDeps {
  readonly loop: IoLoop;
  readonly outbox: Outbox;
}

/**
 * One TCP connection that carries frames both ways. Its buffers are made once
 * and used again for the next connection, since native memory is not collected.
 */
export class FrameConnection implements DescriptorHandler, Flushable {
  private readonly buffer = allocateMemory(receiveBufferBytes);
  private readonly reader: FrameReader;
  private readonly queue: SendQueue;
  private fd = -1;
  private connecting = false;
  private marked = false;
  private interest = 0;
  /** Tells the connection in use from one that a callback closed meanwhile. */
  private generation = 0;

  constructor(
    private readonly deps: ConnectionDeps,
    private readonly owner: ConnectionOwner,
  ) {
    this.reader = new FrameReader(new Uint8Array(this.buffer.buffer), owner);
    this.queue = new SendQueue(owner);
  }

  get isOpen(): boolean {
    return this.fd >= 0;
  }
  /** The peer has sent nothing beyond the frames that were delivered. */
  get isQuiet(): boolean {
    return this.reader.isEmpty;
  }
  get hasUnsent(): boolean {
    return !this.queue.isEmpty;
  }

  /** Takes over a descriptor: one whose connection has begun, or one that is connected. */
  open(fd: number, connecting: boolean, receivedFrames = 0): void {
    this.fd = fd;
    this.connecting = connecting;
    this.generation++;
    this.reader.reset(receivedFrames);
    this.queue.reset();
    this.interest = connecting ? EpollEvent.OUT : EpollEvent.IN;
    if (!connecting) this.setOptions();
    this.deps.loop.watch(fd, this.interest, this);
  }

  close(): void {
    if (this.fd < 0) return;
    closeFile(this.release());
  }

  /** Gives the descriptor away without closing it. */
  release(): number {
    const fd = this.fd;
    this.fd = -1;
    this.generation++;
    this.queue.reset();
    this.deps.loop.unwatch(fd);
    return fd;
  }

  /** Sends a header, with its checksum, and the payload at `address`; see `SendQueue.putPayload`. */
  sendPayload(header: FrameHeader, address: number, slot: number): void {
    this.gathered(this.queue.putPayload(header, address, slot));
  }

  sendHeader(header: FrameHeader): void {
    this.gathered(this.queue.putHeader(header));
  }

  sendBody(header: FrameHeader, body: Uint8Array): void {
    header.payloadBytes = body.length;
    header.payloadCrc = payloadChecksum(body);
    this.gathered(this.queue.putBody(header, body));
  }

  /** Goes on receiving when the owner had no slot before. */
  resume(): void {
    if (this.fd < 0 || !this.reader.waiting) return;
    const generation = this.generation;
    const problem = this.reader.resume();
    if (generation !== this.generation) return;
    if (problem !== '') this.fail(problem);
    else this.updateInterest();
  }

  /**
   * Sends what is gathered without waiting for the end of the turn, so that the
   * peer works while we do. What goes wrong is told at the end of the turn.
   */
  sendNow(): void {
    if (this.fd >= 0 && !this.connecting) this.queue.send(this.fd);
  }

  flush(): void {
    this.marked = false;
    if (this.fd < 0 || this.connecting) return;
    const result = this.queue.send(this.fd);
    if (result < 0 && result !== -Errno.EAGAIN) {
      this.fail(`sending failed: ${errnoName(result)}`);
      return;
    }
    this.updateInterest();
  }

  onEvents(_fd: number, events: number): void {
    if (this.connecting) {
      this.onConnectDecided();
      return;
    }
    if ((events & EpollEvent.OUT) !== 0) this.flush();
    if (this.fd < 0) return;
    if ((events & EpollEvent.IN) !== 0) this.receive();
    else if ((events & (EpollEvent.ERR | EpollEvent.HUP)) !== 0) {
      this.fail(`the connection broke: ${errnoName(socketError(this.fd))}`);
    }
  }

  private onConnectDecided(): void {
    const error = socketError(this.fd);
    if (error !== 0) {
      this.fail(`connecting failed: ${errnoName(error)}`);
      return;
    }
    this.connecting = false;
    this.setOptions();
    this.owner.onConnected();
    if (this.fd >= 0) this.flush();
  }

  private receive(): void {
    const generation = this.generation;
    for (let round = 0; round < roundsPerTurn; round++) {
      const room = this.reader.roomBytes;
      if (room === 0) break;
      const slot = this.reader.directSlot;
      const base = slot >= 0 ? this.deps.loop.slots.address(slot) : this.buffer.address;
      const bytes = receive(this.fd, base + this.reader.roomAt, room);
      if (bytes === -Errno.EINTR) continue;
      if (bytes === -Errno.EAGAIN) break;
      if (bytes <= 0) {
        this.fail(
          bytes === 0 ? 'the peer closed the connection' : `receiving: ${errnoName(bytes)}`,
        );
        return;
      }
      const problem = this.reader.received(bytes);
      if (generation !== this.generation) return;
      if (problem !== '') {
        this.fail(problem);
        return;
      }
      if (bytes < room) break;
    }
    this.updateInterest();
  }

  private gathered(fits: boolean): void {
    if (!fits) {
      // Reported later: the owner is in the middle of sending.
      const generation = this.generation;
      this.deps.outbox.defer(() => {
        if (generation === this.generation) this.fail('the peer is too far behind');
      });
      return;
    }
    if (this.marked) return;
    this.marked = true;
    this.deps.outbox.mark(this);
  }

  private updateInterest(): void {
    if (this.fd < 0) return;
    const wanted =
      (this.reader.waiting ? 0 : EpollEvent.IN) | (this.queue.isEmpty ? 0 : EpollEvent.OUT);
    if (wanted === this.interest) return;
    this.interest = wanted;
    this.deps.loop.change(this.fd, wanted);
  }

  private setOptions(): void {
    setNoDelay(this.fd);
    setUserTimeout(this.fd, userTimeoutMs);
  }

  private fail(reason: string): void {
    if (this.fd < 0) return;
    this.close();
    this.owner.onClosed(reason);
  }
}
