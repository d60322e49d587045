import { orInto, setBits } from './bitmap.js';
import type { CoordinatorCore } from './core.js';
import type { InternalIo } from './internal-io.js';
import type { IoPath } from './io-path.js';
import type { Link } from './link.js';
import type { Membership } from './membership.js';
import { OpKind, Status } from './ops.js';
import type { PlantedFaults } from './planted-faults.js';
import type { RangeCopier } from './range-copier.js';
import type { RangeLock } from './range-locks.js';
import type { ResyncThrottle } from './resync-throttle.js';

/** How many ranges of one replica are compared at the same time. */
const parallelRanges = 2;

export interface ResyncProgress {
  readonly bytesTotal: number;
  bytesDone: number;
  bytesCopied: number;
}

/**
 * Brings one replica that was out back to equality, under new writes, which it
 * gets as well from the moment it joins: compares every chunk that is marked on
 * either side and copies the blocks that differ.
 */
export class Resync {
  readonly progress: ResyncProgress;
  private readonly chunks: number[];
  private nextOffset = 0;
  private chunkEnd = 0;
  private atWork = 0;
  private ended = false;
  private readonly locks = new Set<RangeLock>();
  private readonly released = new Set<RangeLock>();

  constructor(
    private readonly core: CoordinatorCore,
    private readonly io: IoPath,
    private readonly internal: InternalIo,
    private readonly copier: RangeCopier,
    private readonly membership: Membership,
    private readonly throttle: ResyncThrottle,
    private readonly faults: PlantedFaults,
    readonly link: Link,
  ) {
    this.chunks = this.chunksToCompare();
    const { chunkBytes } = core.options.geometry;
    const whole = this.chunks.reduce(
      (sum, chunk) => sum + Math.min(chunkBytes, core.sizeBytes - chunk * chunkBytes),
      0,
    );
    this.progress = { bytesTotal: whole, bytesDone: 0, bytesCopied: 0 };
  }

  /** Goes on as far as the throttle allows. */
  advance(): void {
    while (!this.ended && !this.throttle.exhausted && this.atWork < parallelRanges) {
      const range = this.takeRange();
      if (range === undefined) {
        if (this.atWork === 0) this.finish();
        return;
      }
      this.throttle.spend(range.length);
      this.start(range.offset, range.length);
    }
  }

  /** The replica's session is over. */
  cancel(): void {
    this.ended = true;
    const locks = [...this.locks];
    this.locks.clear();
    for (const lock of locks) this.io.unlock(lock);
  }

  private chunksToCompare(): number[] {
    const { core, link } = this;
    const count = Math.ceil(core.sizeBytes / core.options.geometry.chunkBytes);
    const blank = link.hello?.blank === true && !this.faults.has('blank_compared_by_marks');
    if (blank) return Array.from({ length: count }, (_, chunk) => chunk);
    const union = core.marks.slice();
    // What the replica itself wrote last may never have reached the others.
    if (link.hello !== undefined) orInto(union, link.hello.marks);
    return [...setBits(union, count)];
  }

  private takeRange(): { offset: number; length: number } | undefined {
    const { chunkBytes, maxHashBytes } = this.core.options.geometry;
    if (this.nextOffset >= this.chunkEnd) {
      const chunk = this.chunks.shift();
      if (chunk === undefined) return undefined;
      this.nextOffset = chunk * chunkBytes;
      this.chunkEnd = Math.min(this.nextOffset + chunkBytes, this.core.sizeBytes);
    }
    const offset = this.nextOffset;
    const length = Math.min(maxHashBytes, this.chunkEnd - offset);
    this.nextOffset += length;
    return { offset, length };
  }

  private start(offset: number, length: number): void {
    this.atWork += 1;
    const lock = this.io.lock(offset, length, (held) => {
      this.compare(offset, length, () => this.release(held));
    });
    if (!this.released.delete(lock)) this.locks.add(lock);
  }

  private compare(offset: number, length: number, release: () => void): void {
    const source = this.source();
    if (this.ended || source === undefined) {
      release();
      this.fail('no in-sync replica to copy from');
      return;
    }
    const backwards = this.faults.has('resync_wrong_direction');
    const from = backwards ? this.link : source;
    const to = backwards ? source : this.link;
    this.copier.copy(from, [to], offset, length, (result) => {
      release();
      this.progress.bytesCopied += result.copiedBytes;
      this.progress.bytesDone += length;
      this.atWork -= 1;
      if (this.ended) return;
      if (result.failed !== undefined) this.fail('copying failed');
      else this.advance();
    });
  }

  private release(lock: RangeLock): void {
    // A lock may be granted, used and given back before `io.lock` has returned it.
    if (!this.locks.delete(lock)) this.released.add(lock);
    this.io.unlock(lock);
  }

  private source(): Link | undefined {
    const candidates = this.core.inSyncUp();
    return candidates.find((link) => link.local) ?? candidates[0];
  }

  private fail(reason: string): void {
    if (this.ended) return;
    this.membership.dismiss(this.link, `resync stopped: ${reason}`);
  }

  /** Everything compared: durable first, then admitted, and only then may etcd count on it. */
  private finish(): void {
    this.ended = true;
    const { core, link } = this;
    this.internal.withSlot((slot) => {
      this.internal.request(slot, OpKind.flush, 0, 0, [link], (status) => {
        core.slots.release(slot);
        if (link.role !== 'joining' || !link.up) return;
        if (status !== Status.ok) {
          this.membership.dismiss(link, `flushing failed with errno ${status}`);
          return;
        }
        this.admit();
      });
    });
  }

  private admit(): void {
    const { core, link } = this;
    const message = { type: 'admit', marks: core.marks.slice() } as const;
    core.control(link, message, core.options.flushTimeoutMs, (reply) => {
      if (link.role !== 'joining' || !link.up) return;
      if (reply.status === Status.ok) {
        link.doubtful = false;
        this.membership.resyncDone(link);
      } else this.membership.dismiss(link, `admission failed with errno ${reply.status}`);
    });
  }
}
