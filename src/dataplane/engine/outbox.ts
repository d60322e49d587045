import type { IoLoop, TurnHandler } from '../io/ports.js';

export interface Flushable {
  flush(): void;
}

/**
 * What an I/O thread does at the end of each turn: sends what the turn's
 * requests gathered, so that one system call carries many frames, and runs
 * what could not be done inside a caller's call.
 */
export class Outbox implements TurnHandler {
  /** Counts the turns of the loop. */
  turn = 0;
  private readonly dirty: Flushable[] = [];
  private deferred: (() => void)[] = [];

  private running = false;

  constructor(private readonly loop: IoLoop) {
    loop.everyTurn(this);
  }

  /** The caller sees to it that it is marked once a turn at most. */
  mark(connection: Flushable): void {
    this.dirty.push(connection);
    // From a turn handler that runs after this one, it would wait for the next event.
    if (!this.running) this.loop.soon();
  }

  /** For rare things only: it allocates. */
  defer(callback: () => void): void {
    this.deferred.push(callback);
    if (!this.running) this.loop.soon();
  }

  onTurn(): void {
    this.turn++;
    this.running = true;
    // What runs here may gather more, which must not wait for the next event.
    for (;;) {
      for (let index = 0; index < this.dirty.length; index++) {
        this.dirty[index].flush();
      }
      this.dirty.length = 0;
      if (this.deferred.length === 0) break;
      const callbacks = this.deferred;
      this.deferred = [];
      for (const callback of callbacks) callback();
    }
    this.running = false;
  }
}
