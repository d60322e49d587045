import type { Clock } from '../src/dataplane/protocol/ports.js';
import type { Scheduler } from './scheduler.js';

/** A machine's monotonic clock: it drifts a little, and begins anew at a reboot. */
export class MachineClock implements Clock {
  private zeroAt = 0;

  constructor(
    private readonly scheduler: Scheduler,
    /** Machine milliseconds for each true one. */
    readonly rate: number,
    private start: number,
  ) {}

  now(): number {
    return this.start + (this.scheduler.now - this.zeroAt) * this.rate;
  }

  reboot(): void {
    this.zeroAt = this.scheduler.now;
    this.start = 1;
  }

  /** The true moment at which this clock will show `local`. */
  trueTime(local: number): number {
    return this.zeroAt + (local - this.start) / this.rate;
  }
}

/**
 * What runs code: everything that happens to a process goes through `run`. A
 * paused process (a stopped virtual machine, a long collection of garbage)
 * finds all that happened meanwhile waiting, and its clock further on.
 */
export class Executor {
  alive = true;
  private waiting: (() => void)[] | null = null;

  constructor(
    protected readonly scheduler: Scheduler,
    /** Runs after each event of this process. */
    private readonly afterEvent: () => void,
  ) {}

  get paused(): boolean {
    return this.waiting !== null;
  }

  run(event: () => void): void {
    if (!this.alive) return;
    if (this.waiting !== null) {
      this.waiting.push(event);
      return;
    }
    event();
    if (this.alive) this.afterEvent();
  }

  after(delayMs: number, event: () => void): void {
    this.scheduler.after(delayMs, () => this.run(event));
  }

  at(time: number, event: () => void): void {
    this.scheduler.at(time, () => this.run(event));
  }

  pause(): void {
    this.waiting ??= [];
  }

  resume(): void {
    const waiting = this.waiting;
    this.waiting = null;
    for (const event of waiting ?? []) this.run(event);
  }

  die(): void {
    this.alive = false;
    this.waiting = null;
  }
}
