/**
 * A bounded queue of four-word items in shared memory, for many producers and
 * many consumers, with no lock that a stopped thread could hold: each cell has
 * its own sequence number, which says whose turn it is (Dmitry Vyukov's bounded
 * MPMC queue). A pushed item also raises a signal word that consumers may sleep
 * on with `Atomics.wait`.
 */
export const itemWords = 4;
const cellWords = itemWords + 1;
/** Head, tail and signal lie on cache lines of their own. */
const lineWords = 16;
const headAt = 0;
const tailAt = lineWords;
const signalAt = 2 * lineWords;
const cellsAt = 3 * lineWords;

export function ringBytes(capacity: number): number {
  return (cellsAt + capacity * cellWords) * 4;
}

export class SharedRing {
  /** The item that `take` found. */
  readonly item = new Int32Array(itemWords);
  private readonly words: Int32Array;
  private readonly mask: number;

  /** `capacity` is a power of two; `initialize` once, before another thread sees it. */
  constructor(shared: SharedArrayBuffer, byteOffset: number, capacity: number, initialize = false) {
    this.words = new Int32Array(shared, byteOffset, ringBytes(capacity) / 4);
    this.mask = capacity - 1;
    if (!initialize) return;
    for (let cell = 0; cell < capacity; cell++) this.words[cellsAt + cell * cellWords] = cell;
  }

  /** False when the ring is full. */
  push(a: number, b: number, c: number, d: number): boolean {
    const words = this.words;
    for (;;) {
      const tail = Atomics.load(words, tailAt);
      const at = cellsAt + (tail & this.mask) * cellWords;
      const ahead = (Atomics.load(words, at) - tail) | 0;
      if (ahead < 0) return false;
      if (ahead > 0) continue;
      if (Atomics.compareExchange(words, tailAt, tail, (tail + 1) | 0) !== tail) continue;
      words[at + 1] = a;
      words[at + 2] = b;
      words[at + 3] = c;
      words[at + 4] = d;
      // The atomic store publishes the words above it.
      Atomics.store(words, at, (tail + 1) | 0);
      return true;
    }
  }

  /** Moves the oldest item to `item`; false when there is none. */
  take(): boolean {
    const words = this.words;
    for (;;) {
      const head = Atomics.load(words, headAt);
      const at = cellsAt + (head & this.mask) * cellWords;
      const ahead = (Atomics.load(words, at) - ((head + 1) | 0)) | 0;
      if (ahead < 0) return false;
      if (ahead > 0) continue;
      if (Atomics.compareExchange(words, headAt, head, (head + 1) | 0) !== head) continue;
      for (let word = 0; word < itemWords; word++) this.item[word] = words[at + 1 + word] ?? 0;
      Atomics.store(words, at, (head + this.mask + 1) | 0);
      return true;
    }
  }

  /** Read it before looking for an item: `sleep` then can't miss one pushed meanwhile. */
  signal(): number {
    return Atomics.load(this.words, signalAt);
  }

  sleep(seen: number): void {
    Atomics.wait(this.words, signalAt, seen);
  }

  wake(count: number): void {
    Atomics.add(this.words, signalAt, 1);
    Atomics.notify(this.words, signalAt, count);
  }
}
