import type { CoordinatorCore } from './core.js';
import type { Link } from './link.js';
import { Status } from './ops.js';
import type { OpKind } from './ops.js';

interface InternalRequest {
  waiting: Link[];
  status: number;
  failed: Link | undefined;
  readonly done: (status: number, failed: Link | undefined) => void;
}

/** The coordinator's own reads, writes and flushes: for resync, recovery and cleaning. */
export class InternalIo {
  private readonly requests = new Map<number, InternalRequest>();
  private hungry: ((slot: number) => void)[] = [];

  constructor(private readonly core: CoordinatorCore) {}

  /** True while somebody waits for a free slot: `retry` is then due soon. */
  get isHungry(): boolean {
    return this.hungry.length > 0;
  }

  owns(slot: number): boolean {
    return this.requests.size > 0 && this.requests.has(slot);
  }

  /** Calls back with a slot, now or when one is free. */
  withSlot(use: (slot: number) => void): void {
    const slot = this.core.slots.acquire();
    if (slot === -1) this.hungry.push(use);
    else use(slot);
  }

  retry(): void {
    while (this.hungry.length > 0) {
      const slot = this.core.slots.acquire();
      if (slot === -1) return;
      this.hungry.shift()?.(slot);
    }
  }

  /** Sends the slot's request to every link; `done` gets the first error. The slot stays acquired. */
  request(
    slot: number,
    kind: OpKind,
    offset: number,
    length: number,
    links: readonly Link[],
    done: (status: number, failed: Link | undefined) => void,
  ): void {
    const { slots } = this.core;
    slots.kind[slot] = kind;
    slots.offset[slot] = offset;
    slots.length[slot] = length;
    // Outside the numbered mutations: what these touch is marked already.
    slots.seq[slot] = 0;
    const request = { waiting: [...links], status: Status.ok as number, failed: undefined, done };
    this.requests.set(slot, request);
    if (links.length === 0) {
      this.requests.delete(slot);
      done(Status.ioError, undefined);
      return;
    }
    for (const link of links) {
      if (link.up) link.port.send(slot, 0);
      else this.onReply(link, slot, Status.ioError);
    }
  }

  onReply(link: Link, slot: number, status: number): void {
    const request = this.requests.get(slot);
    if (request === undefined || !request.waiting.includes(link)) return;
    request.waiting = request.waiting.filter((candidate) => candidate !== link);
    if (status !== Status.ok && request.status === Status.ok) {
      request.status = status;
      request.failed = link;
    }
    if (request.waiting.length > 0) return;
    this.requests.delete(slot);
    request.done(request.status, request.failed);
  }

  onLinkDown(link: Link): void {
    for (const slot of [...this.requests.keys()]) this.onReply(link, slot, Status.ioError);
  }

  /** The coordinator ends: nobody is called back any more. */
  abandon(): void {
    for (const slot of this.requests.keys()) this.core.slots.release(slot);
    this.requests.clear();
    this.hungry = [];
  }
}
