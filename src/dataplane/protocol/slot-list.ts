/** A set of slots with constant-time add and remove, kept in the order they came in. */
export class SlotList {
  private readonly items: Int32Array;
  private count = 0;

  constructor(capacity: number) {
    this.items = new Int32Array(capacity);
  }

  get size(): number {
    return this.count;
  }

  at(position: number): number {
    return this.items[position];
  }

  add(slot: number): void {
    this.items[this.count] = slot;
    this.count += 1;
  }

  /** Moves what came later forward: a list is short, and the oldest usually goes first. */
  remove(slot: number): void {
    let position = 0;
    while (position < this.count && this.items[position] !== slot) position += 1;
    if (position === this.count) return;
    this.items.copyWithin(position, position + 1, this.count);
    this.count -= 1;
  }

  /** A copy to iterate over while the list changes. */
  snapshot(): Int32Array {
    return this.items.slice(0, this.count);
  }
}
