import type { CoordinatorCore } from './core.js';
import type { IoPath } from './io-path.js';
import type { Link } from './link.js';
import { Status } from './ops.js';
import type { RecordOutcome } from './ports.js';
import type { RecordChange } from './record-changes.js';

export interface MembershipEvents {
  /** Ends the link's session and tells every part. */
  dropLink(link: Link, reason: string): void;
  fenced(reason: string): void;
  /** The replica is no longer one of the volume's. */
  departed(link: Link): void;
  /** Roles have changed. */
  changed(): void;
}

/**
 * Who counts as in sync: asks etcd, one change at a time, and moves a link's
 * role only when the answer is known.
 */
export class Membership {
  private change: RecordChange | undefined;
  private readonly resynced = new Set<Link>();
  /** Out, and to be taken out of the record altogether. */
  private readonly departing = new Set<Link>();
  /** Those that stay are being asked whether they are there. */
  private confirming = false;
  /** Taken out in etcd while those that stay were lost as well: to be counted on again. */
  private takingBack: string[] = [];

  constructor(
    private readonly core: CoordinatorCore,
    private readonly io: IoPath,
    private readonly events: MembershipEvents,
    private readonly epoch: () => number,
  ) {}

  get busy(): boolean {
    return this.change !== undefined || this.confirming || this.takingBack.length > 0;
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

  /** Etcd does not count on this replica, and it is to leave the volume (rule P3). */
  depart(link: Link): void {
    if (link.role !== 'out') return;
    this.departing.add(link);
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
    if (this.change !== undefined || this.confirming || this.core.over) return;
    const [back] = this.takingBack;
    if (back !== undefined) {
      this.request({ type: 'add_in_sync', epoch: this.epoch(), replicaId: back });
      return;
    }
    if (core.links.some((link) => link.role === 'leaving')) {
      this.removeLeaving();
      return;
    }
    const ready = core.links.find((link) => link.role === 'joining' && this.resynced.has(link));
    if (ready === undefined) return this.removeDeparting();
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
    const done = outcome.result === 'done';
    if (change.type === 'remove_in_sync') {
      this.removed(change.replicaIds, done);
      return;
    }
    if (change.type === 'remove_replica') this.departed(change.replicaId, done);
    if (change.type === 'add_in_sync') {
      if (change.replicaId === this.takingBack[0]) this.tookBack(change.replicaId, done);
      else this.added(change.replicaId, done);
    }
    this.changed();
  }

  private changed(): void {
    this.core.host.stateChanged();
    this.events.changed();
    this.evaluate();
  }

  private removeLeaving(): void {
    const { core } = this;
    if (core.inSyncUp().length === 0) {
      // Nobody is left to carry on: they may all come back with everything they had.
      for (const link of core.links) if (link.role === 'leaving') link.role = 'in_sync';
      return;
    }
    this.confirm((alive) => {
      const leaving = core.links.filter((link) => link.role === 'leaving');
      if (!alive || leaving.length === 0) return this.evaluate();
      const replicaIds = leaving.map((link) => link.replicaId);
      this.request({ type: 'remove_in_sync', epoch: this.epoch(), replicaIds });
    });
  }

  /**
   * Etcd does not count on them any more. Before anything is acknowledged
   * without them, one that stays must show that it was there all the time: it
   * may have lost power unnoticed, and then those taken out are the only ones
   * that have everything, because nothing was acknowledged without them yet.
   */
  private removed(replicaIds: readonly string[], done: boolean): void {
    const leaving = this.core.links.filter(
      (link) => link.role === 'leaving' && replicaIds.includes(link.replicaId),
    );
    if (!done) {
      for (const link of leaving) link.role = 'in_sync';
      this.changed();
      return;
    }
    this.confirm((alive) => {
      if (!alive) {
        this.takingBack = leaving.map((link) => link.replicaId);
        this.evaluate();
        return;
      }
      for (const link of leaving) {
        link.role = 'out';
        this.io.excuse(link);
      }
      this.changed();
    });
  }

  private removeDeparting(): void {
    for (const link of this.departing) {
      if (link.role === 'out') {
        const { replicaId } = link;
        return this.request({ type: 'remove_replica', epoch: this.epoch(), replicaId });
      }
      this.departing.delete(link);
    }
  }

  private departed(replicaId: string, done: boolean): void {
    const link = [...this.departing].find((each) => each.replicaId === replicaId);
    if (link === undefined) return;
    this.departing.delete(link);
    if (done) this.events.departed(link);
  }

  private tookBack(replicaId: string, done: boolean): void {
    this.takingBack.shift();
    for (const link of this.core.links) {
      if (link.role !== 'leaving' || link.replicaId !== replicaId) continue;
      link.role = done ? 'in_sync' : 'out';
      if (!done) this.io.excuse(link);
      // Its next session shows what it still has.
      this.events.dropLink(link, 'is counted on again');
    }
  }

  /** Asks every in-sync replica for a sign of life from now on; `done` gets whether one came. */
  private confirm(done: (alive: boolean) => void): void {
    const { core } = this;
    const witnesses = core.inSyncUp();
    let waiting = witnesses.length;
    if (waiting === 0) return done(false);
    let answered = false;
    this.confirming = true;
    const message = { type: 'heartbeat', completedSeq: this.io.completedSeq } as const;
    for (const link of witnesses) {
      core.control(link, message, core.options.replicaTimeoutMs, (reply) => {
        waiting -= 1;
        if (answered || this.core.over) return;
        if (reply.status !== Status.ok && link.up) this.events.dropLink(link, 'its store failed');
        const alive = reply.status === Status.ok && link.up;
        // Dropping a link may have answered for the others.
        if (answered || (!alive && waiting > 0)) return;
        answered = true;
        this.confirming = false;
        done(alive);
      });
    }
  }

  private added(replicaId: string, done: boolean): void {
    for (const link of this.core.links) {
      if (link.role !== 'adding' || link.replicaId !== replicaId) continue;
      link.role = done ? 'in_sync' : 'out';
      if (!done) {
        this.io.excuse(link);
        this.events.dropLink(link, 'the replica was removed from the volume');
      } else if (link.doubtful) {
        // It came back without what it had been admitted with; its next session is judged afresh.
        this.events.dropLink(link, 'lost power while it was added');
      }
    }
  }

  private request(change: RecordChange): void {
    this.change = change;
    this.core.host.requestChange(change);
  }
}
