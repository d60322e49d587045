import type { CoordinatorCore } from './core.js';
import type { Link } from './link.js';
import type { Membership } from './membership.js';
import type { RangeCopier } from './range-copier.js';
import type { RangeLock } from './range-locks.js';

interface Ranges {
  lock(offset: number, length: number, onHeld: (lock: RangeLock) => void): RangeLock;
  unlock(lock: RangeLock): void;
}

/**
 * A request failed on every in-sync replica, perhaps half done on some: makes
 * its range the same everywhere before the error is the caller's (rule W5).
 *
 * What is compared and copied are whole blocks, which hold more than the
 * request touched: they are locked, or a copy would put what it read over a
 * mutation of a neighbour that came meanwhile.
 */
export class Repairs {
  private waiting: (() => void)[] = [];

  constructor(
    private readonly core: CoordinatorCore,
    private readonly membership: Membership,
    private readonly copier: RangeCopier,
    private readonly ranges: Ranges,
    private readonly dropLink: (link: Link, reason: string) => void,
  ) {}

  repair(offset: number, length: number, done: () => void): void {
    const { core } = this;
    const { hashBlockBytes } = core.options.geometry;
    const start = Math.floor(offset / hashBlockBytes) * hashBlockBytes;
    const blocksEnd = Math.ceil((offset + length) / hashBlockBytes) * hashBlockBytes;
    const end = Math.min(blocksEnd, core.sizeBytes);
    this.ranges.lock(start, end - start, (lock) => {
      this.copyBlocks(start, end, () => {
        done();
        this.ranges.unlock(lock);
      });
    });
  }

  private copyBlocks(start: number, end: number, done: () => void): void {
    const { core } = this;
    const { maxHashBytes } = core.options.geometry;
    const next = (at: number): void => {
      // One that is away must be made equal as well, or be taken out first.
      if (!this.core.over && core.links.some((link) => link.guardsReads && !link.up)) {
        this.waiting.push(() => next(at));
        return;
      }
      const source = core.inSyncUp()[0];
      // A joining one may have carried it out, and its resync may have passed the range already.
      const targets = core.links.filter((link) => link !== source && link.required && link.up);
      if (this.core.over || at >= end || source === undefined || targets.length === 0)
        return done();
      const size = Math.min(maxHashBytes, end - at);
      this.copier.copy(source, targets, at, size, (result) => {
        if (result.failed === undefined) return next(at + size);
        this.giveUp(result.failed, targets);
        next(at);
      });
    };
    next(start);
  }

  /** Links or roles have changed. */
  goOn(): void {
    const { waiting } = this;
    this.waiting = [];
    for (const repair of waiting) repair();
  }

  abandon(): void {
    this.waiting = [];
  }

  private giveUp(failed: Link, targets: readonly Link[]): void {
    const reason = 'could not be made equal after a failed request';
    this.membership.dismiss(failed, reason);
    if (!failed.up) return;
    // The only source can't be read, or etcd is just being asked to count on this one.
    if (failed.role === 'in_sync') {
      for (const link of targets) {
        if (link.role === 'joining') this.membership.dismiss(link, reason);
      }
    }
    const pending = failed.role === 'in_sync' ? targets : [failed];
    for (const link of pending) if (link.up) this.dropLink(link, reason);
  }
}
