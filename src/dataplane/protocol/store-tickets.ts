import { assert } from '../../kernel/assert.js';
import type { Hello } from './messages.js';

/** What a replica does with an answer of its store that comes later. */
export type Waiting =
  | { readonly type: 'flush'; readonly session: number; readonly slot: number }
  | { readonly type: 'control'; readonly session: number; readonly tag: number }
  | { readonly type: 'admit'; readonly session: number; readonly tag: number }
  | { readonly type: 'hello'; readonly session: number; readonly hello: Hello }
  | { readonly type: 'marks' }
  | { readonly type: 'poison' };

/** The calls to a replica's store that have not been answered yet. */
export class StoreTickets {
  private readonly waiting = new Map<number, Waiting>();
  private next = 1;

  issue(waiting: Waiting): number {
    const ticket = this.next;
    this.next += 1;
    this.waiting.set(ticket, waiting);
    return ticket;
  }

  take(ticket: number): Waiting {
    const waiting = this.waiting.get(ticket);
    assert(waiting !== undefined, `the store answered an unknown ticket ${ticket}`);
    this.waiting.delete(ticket);
    return waiting;
  }

  /** A copy or a save of meta is at work, which a newcomer has to wait for (rule T2). */
  get holdNewcomers(): boolean {
    for (const waiting of this.waiting.values()) {
      if (waiting.type !== 'flush' && waiting.type !== 'marks') return true;
    }
    return false;
  }
}
