import { assert } from '../../../kernel/assert.js';
import type { NativeSlotTable } from '../../io/slot-table.js';
import { IoVector } from '../../sys/memory.js';
import { sendVector } from '../../sys/sockets.js';

/** As many replies as one call sends. */
const vectorLength = 64;
/** One thread sends at one time, so all connections share the vector. */
const vector = new IoVector(vectorLength);

/**
 * Replies that wait for the socket: slots, in order, each with the bytes around
 * the start of its payload that make up the reply. A slot is freed once sent.
 */
export class SendRing {
  private readonly slots: NativeSlotTable;
  private readonly ring: Int32Array;
  private readonly headerLengths: Uint8Array;
  private readonly dataLengths: Uint32Array;
  private first = 0;
  private count = 0;
  private sentOfFirst = 0;

  constructor(slots: NativeSlotTable) {
    this.slots = slots;
    this.ring = new Int32Array(slots.capacity);
    this.headerLengths = new Uint8Array(slots.capacity);
    this.dataLengths = new Uint32Array(slots.capacity);
  }

  get empty(): boolean {
    return this.count === 0;
  }

  push(slot: number, headerLength: number, dataLength: number): void {
    assert(this.count < this.ring.length, 'more replies than slots');
    this.headerLengths[slot] = headerLength;
    this.dataLengths[slot] = dataLength;
    this.ring[(this.first + this.count) % this.ring.length] = slot;
    this.count++;
  }

  /** Sends what the socket takes: 0 when it took all, else -errno (-EAGAIN: wait for it). */
  flush(fd: number): number {
    while (this.count > 0) {
      const entries = this.fillVector();
      const sent = sendVector(fd, vector.address, entries);
      if (sent < 0) return sent;
      this.advance(sent);
    }
    return 0;
  }

  /** Frees everything unsent: the connection is gone. */
  drop(): void {
    while (this.count > 0) this.pop();
  }

  private fillVector(): number {
    const entries = Math.min(this.count, vectorLength);
    for (let index = 0; index < entries; index++) {
      const slot = this.at(index);
      const skipped = index === 0 ? this.sentOfFirst : 0;
      const address = this.slots.address(slot) - (this.headerLengths[slot] ?? 0);
      vector.set(index, address + skipped, this.lengthOf(slot) - skipped);
    }
    return entries;
  }

  private advance(sent: number): void {
    let left = sent + this.sentOfFirst;
    while (this.count > 0) {
      const length = this.lengthOf(this.at(0));
      if (left < length) break;
      left -= length;
      this.pop();
    }
    this.sentOfFirst = left;
  }

  private pop(): void {
    this.slots.release(this.at(0));
    this.first = (this.first + 1) % this.ring.length;
    this.count--;
    this.sentOfFirst = 0;
  }

  private at(index: number): number {
    return this.ring[(this.first + index) % this.ring.length] ?? -1;
  }

  private lengthOf(slot: number): number {
    return (this.headerLengths[slot] ?? 0) + (this.dataLengths[slot] ?? 0);
  }
}
