/**
 * Virtual time: a heap of events, each run at its moment. Two events of the
 * same moment run in the order in which they were scheduled.
 */
interface Event {
  readonly time: number;
  readonly order: number;
  readonly run: () => void;
}

export class Scheduler {
  /** Milliseconds since the run began. */
  now = 0;
  /** Events run so far. */
  executed = 0;
  private readonly heap: Event[] = [];
  private nextOrder = 0;

  at(time: number, run: () => void): void {
    const event = { time: Math.max(time, this.now), order: this.nextOrder++, run };
    const heap = this.heap;
    let index = heap.length;
    heap.push(event);
    while (index > 0) {
      const parent = (index - 1) >> 1;
      const above = heap[parent];
      if (!isBefore(event, above)) break;
      heap[index] = above;
      index = parent;
    }
    heap[index] = event;
  }

  after(delayMs: number, run: () => void): void {
    this.at(this.now + delayMs, run);
  }

  /** Runs the next event; false when there is none. */
  step(): boolean {
    const heap = this.heap;
    const first = heap[0];
    if (first === undefined) return false;
    const last = heap.pop() as Event;
    if (heap.length > 0) this.sink(last);
    this.now = first.time;
    this.executed++;
    first.run();
    return true;
  }

  private sink(event: Event): void {
    const heap = this.heap;
    const size = heap.length;
    let index = 0;
    for (;;) {
      let child = 2 * index + 1;
      if (child >= size) break;
      const right = child + 1;
      if (right < size && isBefore(heap[right], heap[child])) child = right;
      const below = heap[child];
      if (!isBefore(below, event)) break;
      heap[index] = below;
      index = child;
    }
    heap[index] = event;
  }
}

function isBefore(left: Event, right: Event): boolean {
  return left.time < right.time || (left.time === right.time && left.order < right.order);
}
