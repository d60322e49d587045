import { assert } from '../src/kernel/assert.js';
import type { SlotTable } from '../src/dataplane/protocol/ops.js';
import { maxIoSectors, sectorBytes } from './geometry.js';

/** The slot table of one simulated process; a payload is a run of numbers in `memory`. */
export class SimSlots implements SlotTable {
  readonly kind: Uint8Array;
  readonly offset: Float64Array;
  readonly length: Float64Array;
  readonly seq: Float64Array;
  readonly memory: Uint32Array;
  private readonly free: number[] = [];
  private readonly held: Uint8Array;

  constructor(readonly capacity: number) {
    this.kind = new Uint8Array(capacity);
    this.offset = new Float64Array(capacity);
    this.length = new Float64Array(capacity);
    this.seq = new Float64Array(capacity);
    this.memory = new Uint32Array(capacity * maxIoSectors);
    this.held = new Uint8Array(capacity);
    for (let slot = capacity - 1; slot >= 0; slot--) this.free.push(slot);
  }

  address(slot: number): number {
    return slot * maxIoSectors;
  }

  acquire(): number {
    const slot = this.free.pop();
    if (slot === undefined) return -1;
    this.held[slot] = 1;
    return slot;
  }

  release(slot: number): void {
    assert(this.held[slot] === 1, `slot ${slot} is released twice`);
    this.held[slot] = 0;
    this.free.push(slot);
  }

  get inUse(): number {
    return this.capacity - this.free.length;
  }

  /** The sectors of a request's payload, at most what a slot holds. */
  payload(slot: number): Uint32Array {
    const from = this.address(slot);
    const sectors = Math.min(this.length[slot] / sectorBytes, maxIoSectors);
    return this.memory.subarray(from, from + sectors);
  }
}
