import { addressOf, allocateMemory, IoVector } from '../sys/memory.js';
import { Errno } from '../sys/libc.js';
import { sendVector } from '../sys/sockets.js';
import { type FrameHeader, headerBytes, HeaderCodec } from '../wire/frame.js';

const stagingBytes = 256 * 1024;
/** Bodies up to this size are copied; larger ones are sent from where they are. */
const copiedBodyBytes = 16 * 1024;
const segmentCapacity = 4096;
const vectorCapacity = 128;

/** What a segment is, when it is no slot that somebody waits for. */
const stagedSegment = -1;
const bodySegment = -2;
/** A payload that nobody waits for: give it as the slot of `putPayload`. */
export const untracked = -3;

export interface SendQueueOwner {
  /** The payload of this slot has left; called only for frames that asked for it. */
  onPayloadSent(slot: number): void;
}

/**
 * Frames on their way into one socket. Headers and small bodies lie in a ring
 * of native memory, payloads are sent from their slots, so nothing is copied.
 *
 * A slot that waits here must not be used otherwise until its payload was sent
 * or the queue was reset.
 */
export class SendQueue {
  private readonly staging = allocateMemory(stagingBytes);
  private readonly words = new Int32Array(this.staging.buffer);
  private readonly bytes = new Uint8Array(this.staging.buffer);
  private readonly codec = new HeaderCodec();
  private readonly vector = new IoVector(vectorCapacity);

  /** Segments in the order of sending, as a ring: where, how many bytes, and what for. */
  private readonly segmentAddress = new Float64Array(segmentCapacity);
  private readonly segmentBytes = new Float64Array(segmentCapacity);
  /** A slot whose owner is told, or one of the kinds below. */
  private readonly segmentSlot = new Int32Array(segmentCapacity);
  private first = 0;
  private count = 0;
  private readonly bodies: Uint8Array[] = [];

  /** The ring's used part: from `head` to `tail`, wrapped when `tail < head`. */
  private head = 0;
  private tail = 0;

  constructor(private readonly owner: SendQueueOwner) {}

  get isEmpty(): boolean {
    return this.count === 0;
  }

  reset(): void {
    this.codec.reset();
    this.first = 0;
    this.count = 0;
    this.head = 0;
    this.tail = 0;
    this.bodies.length = 0;
  }

  /** False when the peer is so far behind that nothing more fits: the connection must end. */
  putHeader(header: FrameHeader): boolean {
    const at = this.reserve(headerBytes);
    if (at < 0) return false;
    this.codec.encode(header, this.words, at / 4);
    return true;
  }

  /** A header, then `header.payloadBytes` bytes at `address`; `slot` may be `untracked`. */
  putPayload(header: FrameHeader, address: number, slot: number): boolean {
    if (!this.putHeader(header)) return false;
    return header.payloadBytes === 0 || this.push(address, header.payloadBytes, slot);
  }

  putBody(header: FrameHeader, body: Uint8Array): boolean {
    if (!this.putHeader(header)) return false;
    if (body.length <= copiedBodyBytes) {
      const at = this.reserve(body.length);
      if (at >= 0) this.bytes.set(body, at);
      return at >= 0;
    }
    this.bodies.push(body);
    return this.push(addressOf(body), body.length, bodySegment);
  }

  /** Sends what the socket takes: 0 when all is sent, -EAGAIN when it is full, or another -errno. */
  send(fd: number): number {
    while (this.count > 0) {
      let entries = 0;
      while (entries < vectorCapacity && entries < this.count) {
        const segment = (this.first + entries) % segmentCapacity;
        this.vector.set(entries, this.segmentAddress[segment], this.segmentBytes[segment]);
        entries++;
      }
      const sent = sendVector(fd, this.vector.address, entries);
      if (sent === -Errno.EINTR) continue;
      if (sent < 0) return sent;
      this.consume(sent);
    }
    return 0;
  }

  private consume(sent: number): void {
    let left = sent;
    while (left > 0) {
      const segment = this.first;
      const bytes = this.segmentBytes[segment];
      const slot = this.segmentSlot[segment];
      const taken = Math.min(bytes, left);
      left -= taken;
      const address = this.segmentAddress[segment] + taken;
      if (slot === stagedSegment) this.head = address - this.staging.address;
      if (taken < bytes) {
        this.segmentAddress[segment] = address;
        this.segmentBytes[segment] = bytes - taken;
        return;
      }
      this.first = (this.first + 1) % segmentCapacity;
      this.count--;
      if (slot >= 0) this.owner.onPayloadSent(slot);
      if (slot === bodySegment) this.bodies.shift();
    }
    if (this.count === 0) {
      this.head = 0;
      this.tail = 0;
    }
  }

  /** Room in the ring, joined to the last segment where that ends there; -1 when there is none. */
  private reserve(bytes: number): number {
    let at = this.tail;
    if (this.tail >= this.head) {
      if (stagingBytes - this.tail < bytes) at = bytes < this.head ? 0 : -1;
    } else if (this.head - this.tail <= bytes) {
      at = -1;
    }
    if (at < 0) return -1;
    const address = this.staging.address + at;
    if (this.count > 0 && at > 0) {
      const last = (this.first + this.count - 1) % segmentCapacity;
      const end = this.segmentAddress[last] + this.segmentBytes[last];
      if (end === address && this.segmentSlot[last] === stagedSegment) {
        this.segmentBytes[last] = this.segmentBytes[last] + bytes;
        this.tail = at + bytes;
        return at;
      }
    }
    if (!this.push(address, bytes, stagedSegment)) return -1;
    this.tail = at + bytes;
    return at;
  }

  private push(address: number, bytes: number, slot: number): boolean {
    if (this.count === segmentCapacity) return false;
    const segment = (this.first + this.count) % segmentCapacity;
    this.segmentAddress[segment] = address;
    this.segmentBytes[segment] = bytes;
    this.segmentSlot[segment] = slot;
    this.count++;
    return true;
  }
}
