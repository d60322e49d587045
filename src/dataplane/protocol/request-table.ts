import { SlotList } from './slot-list.js';

/** How far the request in a slot has come; what a replica owes matters from `mutation` on. */
export const SlotState = {
  idle: 0,
  queued: 1,
  read: 2,
  /** A read whose data is there, and whose lease is not. */
  answered: 3,
  mutation: 4,
  flush: 5,
} as const;

/**
 * What a coordinator knows of the requests in its slots, in typed arrays: no
 * object a request. The masks hold one bit a replica (`Link.bit`).
 */
export class RequestTable {
  readonly state: Uint8Array;
  /** Replicas whose good answer is still needed. */
  readonly pending: Int32Array;
  /** Replicas that were required when it began, less those excused since. */
  readonly assigned: Int32Array;
  /** Replicas that were sent the request in their present session. */
  readonly sent: Int32Array;
  /** Replicas that answered with an error; of a read, those not to be asked again. */
  readonly errored: Int32Array;
  readonly errorStatus: Int32Array;
  readonly readLink: Int32Array;
  readonly startedAt: Float64Array;
  readonly mutations: SlotList;
  /** Reads and flushes at work. */
  readonly others: SlotList;
  readonly queue: SlotList;

  constructor(capacity: number) {
    this.state = new Uint8Array(capacity);
    this.pending = new Int32Array(capacity);
    this.assigned = new Int32Array(capacity);
    this.sent = new Int32Array(capacity);
    this.errored = new Int32Array(capacity);
    this.errorStatus = new Int32Array(capacity);
    this.readLink = new Int32Array(capacity);
    this.startedAt = new Float64Array(capacity);
    this.mutations = new SlotList(capacity);
    this.others = new SlotList(capacity);
    this.queue = new SlotList(capacity);
  }

  get size(): number {
    return this.mutations.size + this.others.size + this.queue.size;
  }

  enqueue(slot: number): void {
    this.state[slot] = SlotState.queued;
    this.queue.add(slot);
  }

  /** Every replica has answered the mutation or flush well, but the read lease had run out. */
  isAnswered(slot: number): boolean {
    const begun = this.state[slot] >= SlotState.mutation;
    // Nothing assigned: it failed everywhere and is being repaired.
    return begun && this.pending[slot] === 0 && this.assigned[slot] !== 0;
  }
}
