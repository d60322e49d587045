export interface QueueTiming {
  readonly firstBackoffMs: number;
  readonly longestBackoffMs: number;
}

export const defaultQueueTiming: QueueTiming = { firstBackoffMs: 500, longestBackoffMs: 60_000 };

interface Waiting {
  readonly dueMs: number;
  readonly timer: NodeJS.Timeout;
}

/**
 * Keys that want a pass. A key is here once however often it is added, and is
 * never given to two workers: added while at work, it comes again afterwards.
 */
export class WorkQueue {
  private readonly ready: string[] = [];
  private readonly queued = new Set<string>();
  private readonly working = new Set<string>();
  private readonly again = new Set<string>();
  private readonly waiting = new Map<string, Waiting>();
  private readonly failures = new Map<string, number>();
  private readonly takers: ((key: string | undefined) => void)[] = [];
  private ended = false;

  constructor(private readonly timing: QueueTiming = defaultQueueTiming) {}

  /** Keys that wait for a worker now. */
  get depth(): number {
    return this.ready.length + this.again.size;
  }

  add(key: string): void {
    if (this.ended) return;
    this.cancelDelay(key);
    if (this.working.has(key)) {
      this.again.add(key);
      return;
    }
    if (this.queued.has(key)) return;
    this.queued.add(key);
    const taker = this.takers.shift();
    if (taker === undefined) this.ready.push(key);
    else taker(this.begin(key));
  }

  /** The sooner of two delays holds. */
  addAfter(key: string, delayMs: number): void {
    if (delayMs <= 0) return this.add(key);
    if (this.ended || this.queued.has(key)) return;
    const dueMs = performance.now() + delayMs;
    const before = this.waiting.get(key);
    if (before !== undefined && before.dueMs <= dueMs) return;
    this.cancelDelay(key);
    this.waiting.set(key, { dueMs, timer: setTimeout(() => this.add(key), delayMs) });
  }

  /** After a failure: sooner the first time, later and later when it goes on. */
  addAfterFailure(key: string): number {
    const failures = (this.failures.get(key) ?? 0) + 1;
    this.failures.set(key, failures);
    const { firstBackoffMs, longestBackoffMs } = this.timing;
    const longest = Math.min(firstBackoffMs * 2 ** (failures - 1), longestBackoffMs);
    const delayMs = longest * (0.75 + Math.random() / 4);
    this.addAfter(key, delayMs);
    return delayMs;
  }

  /** The next failure of the key counts as the first. */
  forgetFailures(key: string): void {
    this.failures.delete(key);
  }

  /** The next key, as soon as there is one; undefined when the queue has ended. */
  take(): Promise<string | undefined> {
    if (this.ended) return Promise.resolve(undefined);
    const key = this.ready.shift();
    if (key !== undefined) return Promise.resolve(this.begin(key));
    return new Promise((resolve) => this.takers.push(resolve));
  }

  /** The worker is through with the key. */
  done(key: string): void {
    this.working.delete(key);
    if (this.again.delete(key)) this.add(key);
  }

  end(): void {
    this.ended = true;
    for (const { timer } of this.waiting.values()) clearTimeout(timer);
    this.waiting.clear();
    for (const taker of this.takers.splice(0)) taker(undefined);
  }

  private begin(key: string): string {
    this.queued.delete(key);
    this.working.add(key);
    return key;
  }

  private cancelDelay(key: string): void {
    const waiting = this.waiting.get(key);
    if (waiting === undefined) return;
    clearTimeout(waiting.timer);
    this.waiting.delete(key);
  }
}
