import type { Resync } from './resync.js';

const windowMs = 100;

/** Lets all resyncs of a volume together compare so much in each tenth of a second. */
export class ResyncThrottle {
  private windowAt = -Infinity;
  private doneBefore = 0;
  private paused = false;

  constructor(private readonly bytesPerSecond: number) {}

  nextDeadline(): number {
    return this.paused ? this.windowAt + windowMs : Infinity;
  }

  tick(now: number, running: Iterable<Resync>): void {
    const resyncs = [...running];
    const done = resyncs.reduce((sum, { progress }) => sum + progress.bytesDone, 0);
    if (now - this.windowAt >= windowMs) {
      this.windowAt = now;
      this.doneBefore = done;
    }
    this.paused = done - this.doneBefore > (this.bytesPerSecond * windowMs) / 1000;
    for (const resync of resyncs) resync.pause(this.paused);
  }
}
