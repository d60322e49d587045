import { ringBytes, SharedRing } from './shared-ring.js';

/**
 * The memory that the I/O threads and the sync workers share.
 *
 * An I/O thread (a client) pushes items `[operation, fd, job, client]` to a
 * lane; a worker does the operation, counts the job's remaining items down, and
 * the last one pushes the job's number to the client's ring of finished jobs
 * and signals the client's eventfd.
 */
export const SyncOperation = { fdatasync: 1, fsync: 2, text: 3, stop: 4 } as const;

export const laneCapacity = 16384;
/** Each store has at most four jobs at work, so this serves 2000 replicas a thread. */
export const jobCapacity = 8192;
export const textSlots = 64;
export const textSlotBytes = 16 * 1024;

/** `quick`: what a flush waits for. `slow`: copies of replicas, which may take minutes. */
export interface LanesHandle {
  readonly quick: SharedArrayBuffer;
  readonly slow: SharedArrayBuffer;
}

export interface ClientHandle {
  readonly index: number;
  readonly memory: SharedArrayBuffer;
  readonly eventFd: number;
}

/** What an I/O thread is given (as `workerData`) to reach the sync workers. */
export interface SyncHandle {
  readonly lanes: LanesHandle;
  readonly client: ClientHandle;
}

export interface SyncWorkerData {
  readonly lane: SharedArrayBuffer;
  readonly clients: readonly ClientHandle[];
}

export function createLane(): SharedArrayBuffer {
  const memory = new SharedArrayBuffer(ringBytes(laneCapacity));
  new SharedRing(memory, 0, laneCapacity, true);
  return memory;
}

export function openLane(memory: SharedArrayBuffer): SharedRing {
  return new SharedRing(memory, 0, laneCapacity);
}

const jobWordBytes = jobCapacity * 4;
const textLengthAt = 2 * jobWordBytes;
const textAt = textLengthAt + textSlots * 4;
const ringAt = textAt + textSlots * textSlotBytes;

/** One client's part: its jobs, its texts, its finished jobs. */
export class ClientMemory {
  readonly remaining: Int32Array;
  readonly status: Int32Array;
  readonly finished: SharedRing;
  private readonly textLengths: Int32Array;
  private readonly texts: Uint8Array;

  constructor(memory: SharedArrayBuffer, initialize = false) {
    this.remaining = new Int32Array(memory, 0, jobCapacity);
    this.status = new Int32Array(memory, jobWordBytes, jobCapacity);
    this.textLengths = new Int32Array(memory, textLengthAt, textSlots);
    this.texts = new Uint8Array(memory, textAt, textSlots * textSlotBytes);
    this.finished = new SharedRing(memory, ringAt, jobCapacity, initialize);
  }

  static create(): SharedArrayBuffer {
    const memory = new SharedArrayBuffer(ringAt + ringBytes(jobCapacity));
    new ClientMemory(memory, true);
    return memory;
  }

  /** Cut to what a slot holds; whoever needs all of it checks the length before. */
  putText(slot: number, text: string): void {
    const bytes = Buffer.from(text).subarray(0, textSlotBytes);
    this.texts.set(bytes, slot * textSlotBytes);
    this.textLengths[slot] = bytes.length;
  }

  text(slot: number): string {
    const length = this.textLengths[slot] ?? 0;
    // A copy: the decoder does not take shared memory.
    return Buffer.from(
      this.texts.slice(slot * textSlotBytes, slot * textSlotBytes + length),
    ).toString();
  }

  /** Called by a worker when one item is done; true when it was the job's last. */
  finishItem(job: number, status: number): boolean {
    if (status !== 0) Atomics.compareExchange(this.status, job, 0, status);
    if (Atomics.sub(this.remaining, job, 1) !== 1) return false;
    this.finished.push(job, 0, 0, 0);
    return true;
  }
}
