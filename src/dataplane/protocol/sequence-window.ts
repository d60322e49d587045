import { ringCapacity } from './op-ring.js';

/**
 * Numbers mutations and knows up to which all are complete. Never more are open
 * than a replica's ring holds.
 */
export class SequenceWindow {
  completed = 0;
  private last = 0;
  private readonly done = new Uint8Array(ringCapacity);

  get full(): boolean {
    return this.last - this.completed >= ringCapacity - 1;
  }

  next(): number {
    this.last += 1;
    return this.last;
  }

  complete(seq: number): void {
    this.done[seq % ringCapacity] = 1;
    while (this.completed < this.last) {
      const next = (this.completed + 1) % ringCapacity;
      if (this.done[next] === 0) return;
      this.done[next] = 0;
      this.completed += 1;
    }
  }
}
