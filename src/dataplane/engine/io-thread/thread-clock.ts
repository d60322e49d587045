import type { Clock } from '../../protocol/ports.js';

/**
 * The machine's monotonic clock: replicas keep the end of leases in memory that
 * outlives the process, so a clock that starts with the process won't do.
 */
export class MachineClock implements Clock {
  /** From the thread's own clock, which costs less to read, to the machine's. */
  readonly offsetMs: number;

  constructor() {
    this.offsetMs = Number(process.hrtime.bigint() / 1000n) / 1000 - performance.now();
  }

  now(): number {
    return performance.now() + this.offsetMs;
  }
}
