import { andNotInto, isEmpty } from './bitmap.js';
import type { CoordinatorCore } from './core.js';
import type { InternalIo } from './internal-io.js';
import type { IoPath } from './io-path.js';
import { OpKind, Status } from './ops.js';

/**
 * Forgets the marks of chunks that have been quiet for a whole interval, once
 * they are equal and stable on every replica of the volume. Nothing is cleared
 * while any replica is out: the marks are then what it misses.
 */
export class Cleaner {
  private nextAt: number;
  private running = false;

  constructor(
    private readonly core: CoordinatorCore,
    private readonly io: IoPath,
    private readonly internal: InternalIo,
  ) {
    this.nextAt = core.clock.now() + core.options.cleanIntervalMs;
  }

  /** Infinity while there is nothing to forget: an idle volume causes no I/O. */
  nextDeadline(): number {
    if (this.running || this.core.phase !== 'serving') return Infinity;
    return isEmpty(this.core.marks) ? Infinity : this.nextAt;
  }

  tick(now: number): void {
    if (this.running || now < this.nextAt || this.core.phase !== 'serving') return;
    this.nextAt = now + this.core.options.cleanIntervalMs;
    const quiet = this.core.marks.slice();
    andNotInto(quiet, this.core.touched);
    this.core.touched.fill(0);
    this.io.markActive(this.core.touched);
    if (isEmpty(quiet) || !this.allInSync()) return;
    this.clean(quiet, () => undefined);
  }

  /**
   * Flushes everywhere and then clears those of `chunks` that nobody wrote
   * meanwhile. `done` says whether every replica has answered.
   */
  clean(chunks: Uint8Array, done: (cleaned: boolean) => void): void {
    this.running = true;
    this.internal.withSlot((slot) => {
      this.internal.request(slot, OpKind.flush, 0, 0, this.core.links, (status) => {
        this.core.slots.release(slot);
        this.running = false;
        if (status !== Status.ok || !this.allInSync()) return done(false);
        andNotInto(chunks, this.core.touched);
        andNotInto(this.core.marks, chunks);
        this.clearEverywhere(chunks, done);
      });
    });
  }

  private clearEverywhere(chunks: Uint8Array, done: (cleaned: boolean) => void): void {
    let waiting = this.core.links.length;
    let good = true;
    for (const link of this.core.links) {
      const message = { type: 'clear_marks', chunks } as const;
      this.core.control(link, message, this.core.options.flushTimeoutMs, (reply) => {
        good &&= reply.status === Status.ok;
        waiting -= 1;
        if (waiting === 0) done(good);
      });
    }
  }

  private allInSync(): boolean {
    return this.core.links.every((link) => link.role === 'in_sync' && link.up && !link.doubtful);
  }
}
