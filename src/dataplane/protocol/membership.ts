import type { CoordinatorCore } from './core.js';
import type { IoPath } from './io-path.js';
import type { Link } from './link.js';
import type { RecordOutcome } from './ports.js';
import type { RecordChange } from './record-changes.js';

export interface MembershipEvents {
  /** Ends the link's session and tells every part. */
  dropLink(link: Link, reason: string): void;
  fenced(reason: string): void;
  /** Roles have changed. */
  membershipChanged(): void;
}

/**
 * Who counts as in sync: asks etcd, one change at a time, and moves a link's
 * role only when the answer is known.
 */
export class Membership {
  private change: RecordChange | undefined;
  private readonly resynced = new Set<Link>();

  constructor(
    private readonly core: CoordinatorCore,
    private readonly io: IoPath,
    private readonly events: MembershipEvents,
    private readonly epoch: () => number,
  ) {}

  get busy(): boolean {
    return this.change !== undefined;
  }

  /**
   * This replica missed something or cannot be trusted. An in-sync one is taken
   * out, if another can carry on; a joining one just starts over later.
   */
  dismiss(link: Link, reason: string): void {
    if (link.role === 'joining') {
      this.events.dropLink(link, reason);
      return;
    }
    if (link.role !== 'in_sync') return;
    const others = this.core.inSyncUp().filter((candidate) => candidate !== link);
    if (others.length === 0) return;
    link.role = 'leaving';
    link.reason = reason;
    this.events.dropLink(link, reason);
    this.evaluate();
  }

  /** The joining replica has everything: etcd may count on it. */
  resyncDone(link: Link): void {
    this.resynced.add(link);
    this.evaluate();
  }

  /** A joining replica lost its session: it is out again, which etcd already says. */
  onLinkDown(link: Link): void {
    this.resynced.delete(link);
    if (link.role !== 'joining') return;
    link.role = 'out';
    this.io.excuse(link);
  }

  /** Starts the replica's session over. */
  restart(link: Link, reason: string): void {
    this.events.dropLink(link, reason);
  }

  evaluate(): void {
    const { core } = this;
    if (this.change !== undefined || core.phase === 'fenced' || core.phase === 'closed') return;
    const leaving = core.links.filter((link) => link.role === 'leaving');
    if (leaving.length > 0) {
      if (core.inSyncUp().length > 0) {
        const replicaIds = leaving.map((link) => link.replicaId);
        this.request({ type: 'remove_in_sync', epoch: this.epoch(), replicaIds });
      } else {
        // Nobody is left to carry on: they may all come back with everything they had.
        for (const link of leaving) link.role = 'in_sync';
      }
      return;
    }
    const ready = core.links.find((link) => link.role === 'joining' && this.resynced.has(link));
    if (ready === undefined) return;
    this.resynced.delete(ready);
    ready.role = 'adding';
    this.request({ type: 'add_in_sync', epoch: this.epoch(), replicaId: ready.replicaId });
  }

  onRecord(outcome: RecordOutcome): void {
    const { change } = this;
    if (change === undefined || outcome.change.type !== change.type) return;
    this.change = undefined;
    if (outcome.result === 'fenced') {
      this.events.fenced('the volume was attached elsewhere');
      return;
    }
    if (change.type === 'remove_in_sync')
      this.removed(change.replicaIds, outcome.result === 'done');
    if (change.type === 'add_in_sync') this.added(change.replicaId, outcome.result === 'done');
    this.core.host.stateChanged();
    this.events.membershipChanged();
    this.evaluate();
  }

  private removed(replicaIds: readonly string[], done: boolean): void {
    for (const link of this.core.links) {
      if (link.role !== 'leaving' || !replicaIds.includes(link.replicaId)) continue;
      link.role = done ? 'out' : 'in_sync';
      if (done) this.io.excuse(link);
    }
  }

  private added(replicaId: string, done: boolean): void {
    for (const link of this.core.links) {
      if (link.role !== 'adding' || link.replicaId !== replicaId) continue;
      link.role = done ? 'in_sync' : 'out';
      if (done) link.doubtful = false;
      else {
        this.io.excuse(link);
        this.events.dropLink(link, 'the replica was removed from the volume');
      }
    }
  }

  private request(change: RecordChange): void {
    this.change = change;
    this.core.host.requestChange(change);
  }
}
