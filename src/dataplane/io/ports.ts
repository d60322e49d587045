import type { SlotTable } from '../protocol/ops.js';

/**
 * What lives on an I/O thread: a synchronous epoll loop, never Node's event
 * loop. Frontends, replica links and stores register descriptors with it.
 */
export interface IoLoop {
  readonly slots: SlotTable;
  /** Milliseconds, monotonic, read afresh. */
  now(): number;
  /** `events` and `interest` are epoll bits (EPOLLIN 1, EPOLLOUT 4…); level-triggered. */
  watch(fd: number, interest: number, handler: DescriptorHandler): void;
  change(fd: number, interest: number): void;
  unwatch(fd: number): void;
  /** Called once at the end of every turn of the loop: the place to send what was gathered. */
  everyTurn(handler: TurnHandler): void;
  removeTurn(handler: TurnHandler): void;
  /**
   * Something was gathered. Said from within a turn handler, another turn follows at once: the
   * handler that sends it may have run already, and the loop would block with it unsent.
   */
  soon(): void;
  /** `tick` is called at least at every deadline that `nextDeadline` gave (ms of `now`). */
  addTimer(timer: LoopTimer): void;
  removeTimer(timer: LoopTimer): void;
  /** A slot was released while somebody had found none: frontends try again then. */
  onSlotFree(handler: TurnHandler): void;
  removeSlotFree(handler: TurnHandler): void;
}

export interface DescriptorHandler {
  onEvents(fd: number, events: number): void;
}
export interface TurnHandler {
  onTurn(): void;
}
export interface LoopTimer {
  nextDeadline(): number;
  tick(now: number): void;
}

/** Where a frontend sends requests: fill the slot's kind, offset, length and payload first. */
export interface VolumeTarget {
  submit(slot: number): void;
}

/** A way in to a volume (FUSE file, NBD connection). It owns the slots it acquired. */
export interface Frontend {
  /** `status`: 0 or a positive errno; for a read the payload is in the slot. Releases the slot. */
  complete(slot: number, status: number): void;
  /** Requests taken from the kernel or the client and not yet completed. */
  readonly inFlight: number;
  /** Stops taking requests; what is in flight still completes. */
  close(): void;
}

export interface FrontendOptions {
  readonly volumeId: string;
  readonly sizeBytes: number;
  readonly blockSizeBytes: 512 | 4096;
  readonly readOnly: boolean;
}
