import type { Frontend, IoLoop, TurnHandler } from '../../io/ports.js';

/** Waits for closed frontends whose last requests are still at work. */
export class IdleWatch implements TurnHandler {
  private waiting: { readonly frontend: Frontend; readonly callback: () => void }[] = [];

  constructor(private readonly loop: IoLoop) {}

  add(frontend: Frontend, callback: () => void): void {
    if (frontend.inFlight === 0) {
      callback();
      return;
    }
    if (this.waiting.length === 0) this.loop.everyTurn(this);
    this.waiting.push({ frontend, callback });
  }

  onTurn(): void {
    const idle = this.waiting.filter(({ frontend }) => frontend.inFlight === 0);
    if (idle.length === 0) return;
    this.waiting = this.waiting.filter((entry) => !idle.includes(entry));
    if (this.waiting.length === 0) this.loop.removeTurn(this);
    for (const { callback } of idle) callback();
  }
}
