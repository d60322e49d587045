import type { Clock } from '../../protocol/ports.js';

/** Far below the tenth that leases allow for clocks that differ. */
const exactMs = 1;
const tries = 1_000;

/**
 * The machine's monotonic clock: replicas keep the end of leases in memory that
 * outlives the process, so a clock that starts with the process won't do.
 */
export class MachineClock implements Clock {
  /** From the thread's own clock, which costs less to read, to the machine's. */
  readonly offsetMs = measureOffset();

  now(): number {
    return performance.now() + this.offsetMs;
  }
}

/** A thread that the kernel preempts between two readings would be wrong by as long for all its life. */
function measureOffset(): number {
  for (let attempt = 0; attempt < tries; attempt++) {
    const before = machineMs();
    const own = performance.now();
    if (machineMs() - before < exactMs) return before - own;
  }
  throw new Error(`no two clocks could be read within ${exactMs} ms`);
}

function machineMs(): number {
  return Number(process.hrtime.bigint() / 1000n) / 1000;
}
