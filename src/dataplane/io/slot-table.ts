import { assert } from '../../kernel/assert.js';
import { maxIoBytes } from '../protocol/ops.js';
import type { SlotTable } from '../protocol/ops.js';
import { allocateMemory, pageBytes } from '../sys/memory.js';
import type { NativeMemory } from '../sys/memory.js';

/**
 * A page in front of each payload, for the header of whatever protocol brought
 * or carries it: header and payload can then be one `read` or one `writev`
 * entry while the payload stays page-aligned, as O_DIRECT wants it.
 * It belongs to whoever acquired the slot, until the slot is released.
 */
export const slotHeaderBytes = pageBytes;
const strideBytes = slotHeaderBytes + maxIoBytes;

/** What `trim` leaves of each payload, so that small I/O after a pause faults no page in. */
const keptBytes = 64 * 1024;

/**
 * The requests of one I/O thread, their payloads in one anonymous mapping.
 *
 * Pages cost memory only once touched, and the free list is last-in-first-out,
 * so a thread that serves small requests touches few of them.
 */
export class NativeSlotTable implements SlotTable {
  readonly capacity: number;
  readonly kind: Uint8Array;
  readonly offset: Float64Array;
  readonly length: Float64Array;
  readonly seq: Float64Array;
  /** `acquire` found none since this was last set to false. */
  starved = false;
  /** Rises with every `acquire`: how the loop sees that a thread has become idle. */
  acquired = 0;

  private readonly memory: NativeMemory;
  private readonly free: Int32Array;
  private readonly busy: Uint8Array;
  private freeSlots: number;

  /** What `memory` must hold for a table of that capacity. */
  static bytesFor(capacity: number): number {
    return capacity * strideBytes;
  }

  /** With a memory of an earlier process, every slot is free all the same until `claim`ed. */
  constructor(capacity: number, memory = allocateMemory(NativeSlotTable.bytesFor(capacity))) {
    assert(capacity > 0, 'a slot table needs a slot');
    assert(memory.byteLength >= NativeSlotTable.bytesFor(capacity), 'the memory is too small');
    this.capacity = capacity;
    this.kind = new Uint8Array(capacity);
    this.offset = new Float64Array(capacity);
    this.length = new Float64Array(capacity);
    this.seq = new Float64Array(capacity);
    this.memory = memory;
    this.free = new Int32Array(capacity);
    this.busy = new Uint8Array(capacity);
    this.freeSlots = capacity;
    for (let index = 0; index < capacity; index++) this.free[index] = capacity - 1 - index;
  }

  get freeCount(): number {
    return this.freeSlots;
  }

  /** All payloads and headers: index it by `payloadOffset` and `headerOffset`. */
  get buffer(): ArrayBuffer {
    return this.memory.buffer;
  }

  /** The native address of the payload, page-aligned. */
  address(slot: number): number {
    return this.memory.address + slot * strideBytes + slotHeaderBytes;
  }

  /** The native address of the page in front of the payload. */
  headerAddress(slot: number): number {
    return this.memory.address + slot * strideBytes;
  }

  payloadOffset(slot: number): number {
    return slot * strideBytes + slotHeaderBytes;
  }

  headerOffset(slot: number): number {
    return slot * strideBytes;
  }

  acquire(): number {
    if (this.freeSlots === 0) {
      this.starved = true;
      return -1;
    }
    this.freeSlots--;
    this.acquired++;
    const slot = this.free[this.freeSlots] ?? -1;
    this.busy[slot] = 1;
    return slot;
  }

  /** Takes one certain free slot: a request of an earlier process lies in it. */
  claim(slot: number): void {
    const at = this.free.subarray(0, this.freeSlots).indexOf(slot);
    assert(at !== -1, `slot ${slot} is not free`);
    this.free.copyWithin(at, at + 1, this.freeSlots);
    this.freeSlots--;
    this.busy[slot] = 1;
  }

  release(slot: number): void {
    // A slot freed twice would give one buffer to two requests: corruption.
    assert(this.busy[slot] === 1, `slot ${slot} is not in use`);
    this.busy[slot] = 0;
    this.free[this.freeSlots] = slot;
    this.freeSlots++;
  }

  /** Gives the memory of free slots back to the kernel, but for the start of each. */
  trim(): void {
    for (let index = 0; index < this.freeSlots; index++) {
      const slot = this.free[index] ?? 0;
      this.memory.discard(this.payloadOffset(slot) + keptBytes, maxIoBytes - keptBytes);
    }
  }

  /** Only for tests and for a thread that ends: nobody may touch a payload afterwards. */
  unmap(): void {
    this.memory.unmap();
  }
}
