const windowMs = 100;

/**
 * Lets all resyncs of a volume together compare so many bytes a second. What a
 * range took beyond its tenth of a second is owed to the following ones.
 */
export class ResyncThrottle {
  private readonly windowBytes: number;
  private windowAt = -Infinity;
  private spentBytes = 0;

  constructor(bytesPerSecond: number) {
    this.windowBytes = (bytesPerSecond * windowMs) / 1000;
  }

  /** True while no new range may begin. */
  get exhausted(): boolean {
    return this.spentBytes >= this.windowBytes;
  }

  spend(bytes: number): void {
    this.spentBytes += bytes;
  }

  nextDeadline(): number {
    return this.exhausted ? this.windowAt + windowMs : Infinity;
  }

  tick(now: number): void {
    const windows = Math.floor((now - this.windowAt) / windowMs);
    if (windows < 1) return;
    this.windowAt = now;
    this.spentBytes = Math.max(0, this.spentBytes - windows * this.windowBytes);
  }
}
