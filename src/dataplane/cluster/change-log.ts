import type { KvEvent, KvFollower } from '../kvdb/port.js';

/** Who is this far behind reads everything again, which is cheaper by then. */
const maxEvents = 10_000;

interface Waiter {
  readonly revision: number;
  readonly resolve: (reached: boolean) => void;
}

/**
 * The changes that a watch has told and nobody has taken yet. It knows from
 * which revision on it is complete, so that a gap is never taken for silence.
 */
export class ChangeLog implements KvFollower {
  private events: KvEvent[] = [];
  /** Every change after this revision up to `toRevision` was told. */
  private fromRevision = Infinity;
  private toRevision = 0;
  private waiters: Waiter[] = [];

  begins(revision: number): void {
    this.events = [];
    this.fromRevision = revision;
    this.toRevision = revision;
  }

  changed(events: readonly KvEvent[]): void {
    const last = events.at(-1);
    if (last === undefined) return;
    this.toRevision = Math.max(this.toRevision, last.modRevision);
    if (this.events.length + events.length > maxEvents) this.begins(this.toRevision);
    else this.events.push(...events);
    this.wake();
  }

  /** The changes after a revision, once; undefined when some of them were not told. */
  take(revision: number): readonly KvEvent[] | undefined {
    if (revision < this.fromRevision) return undefined;
    const taken = this.events.filter((event) => event.modRevision > revision);
    this.begins(this.toRevision);
    return taken;
  }

  /** Whether a change of this revision, or a later one, was told by then. */
  reach(revision: number, withinMs: number): Promise<boolean> {
    if (this.toRevision >= revision) return Promise.resolve(true);
    if (withinMs <= 0) return Promise.resolve(false);
    return new Promise((resolve) => {
      const waiter = { revision, resolve };
      this.waiters.push(waiter);
      setTimeout(() => {
        if (!this.waiters.includes(waiter)) return;
        this.waiters = this.waiters.filter((other) => other !== waiter);
        resolve(false);
      }, withinMs).unref();
    });
  }

  private wake(): void {
    const reached = this.waiters.filter(({ revision }) => revision <= this.toRevision);
    this.waiters = this.waiters.filter(({ revision }) => revision > this.toRevision);
    for (const { resolve } of reached) resolve(true);
  }
}
