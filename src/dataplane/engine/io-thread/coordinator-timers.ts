import type { LoopTimer } from '../../io/ports.js';
import type { MachineClock } from './thread-clock.js';

/** A coordinator as the timers see it; times are the machine clock's. */
export interface Timed {
  nextDeadline(): number;
  tick(now: number): void;
}

/**
 * The deadlines of all coordinators of a thread as one timer of its loop.
 *
 * A deadline is computed afresh only when something happened to its volume, so
 * that idle volumes cost a busy one nothing but a comparison each.
 */
export class CoordinatorTimers implements LoopTimer {
  private readonly timed: Timed[] = [];
  private readonly deadlines: number[] = [];
  private readonly stale: boolean[] = [];

  constructor(private readonly clock: MachineClock) {}

  add(timed: Timed): void {
    this.timed.push(timed);
    this.deadlines.push(0);
    this.stale.push(true);
  }

  remove(timed: Timed): void {
    const index = this.timed.indexOf(timed);
    if (index < 0) return;
    for (const list of [this.timed, this.deadlines, this.stale]) list.splice(index, 1);
  }

  /** Something happened that may have brought the deadline forward. */
  touch(timed: Timed): void {
    const { length } = this.timed;
    for (let index = 0; index < length; index++) {
      if (this.timed[index] === timed) {
        this.stale[index] = true;
        return;
      }
    }
  }

  nextDeadline(): number {
    let next = Infinity;
    for (let index = 0; index < this.timed.length; index++) {
      if (this.stale[index]) {
        this.stale[index] = false;
        this.deadlines[index] = this.timed[index].nextDeadline();
      }
      if (this.deadlines[index] < next) next = this.deadlines[index];
    }
    return next - this.clock.offsetMs;
  }

  tick(): void {
    const now = this.clock.now();
    for (const [index, timed] of [...this.timed].entries()) {
      if (!this.stale[index] && this.deadlines[index] > now) continue;
      this.touch(timed);
      timed.tick(now);
    }
  }
}
