import type { LoopTimer } from '../../io/ports.js';
import type { MachineClock } from './thread-clock.js';

/** A coordinator as the timers see it; times are the machine clock's. */
export interface Timed {
  nextDeadline(): number;
  tick(now: number): void;
}

/** One coordinator's place among the timers. */
export class TimerEntry {
  deadline = -Infinity;
  /** Something happened that may have brought the deadline forward. */
  stale = true;

  constructor(readonly timed: Timed) {}
}

/**
 * The deadlines of all coordinators of a thread as one timer of its loop.
 *
 * A deadline is computed afresh only when something happened to its volume
 * (`TimerEntry.stale`), so that idle volumes cost a busy one nothing but a
 * comparison each.
 */
export class CoordinatorTimers implements LoopTimer {
  private entries: readonly TimerEntry[] = [];

  constructor(private readonly clock: MachineClock) {}

  add(timed: Timed): TimerEntry {
    const entry = new TimerEntry(timed);
    this.entries = [...this.entries, entry];
    return entry;
  }

  remove(entry: TimerEntry): void {
    this.entries = this.entries.filter((other) => other !== entry);
  }

  nextDeadline(): number {
    const { entries } = this;
    let next = Infinity;
    for (let index = 0; index < entries.length; index++) {
      const entry = entries[index];
      if (entry.stale) {
        entry.stale = false;
        entry.deadline = entry.timed.nextDeadline();
      }
      if (entry.deadline < next) next = entry.deadline;
    }
    return next - this.clock.offsetMs;
  }

  tick(): void {
    const now = this.clock.now();
    // The list is replaced, never changed in place: a coordinator may end in its tick.
    for (const entry of this.entries) {
      if (!entry.stale && entry.deadline > now) continue;
      entry.stale = true;
      entry.timed.tick(now);
    }
  }
}
