import type { ReplicaRecord } from '../../kernel/volume-record.js';
import type { CoordinatorParts } from './coordinator-parts.js';
import type { Link } from './link.js';

/**
 * What it means for the volume when a replica's session or role changes: who
 * may join or leave, who is to be taken out, and which parts go on then.
 */
export class ReplicaChanges {
  constructor(private readonly parts: CoordinatorParts) {}

  /** Recovery is over: from here on requests are served. */
  serve(): void {
    const { core, io } = this.parts;
    core.setPhase('serving', '');
    for (const link of core.links) if (link.up) this.welcome(link);
    io.pump();
  }

  /** A replica is there while the volume is served. */
  welcome(link: Link): void {
    const { core, io, membership, repairs } = this.parts;
    if (link.role === 'out') {
      this.join(link);
      return;
    }
    if (link.role === 'in_sync' && link.doubtful) {
      membership.dismiss(link, 'lost power with writes unflushed');
      if (link.state === 'down') return;
      // Nobody else can carry on now; it is asked again later, and not trusted meanwhile.
      const allLost = core.inSync().every((member) => member.doubtful);
      if (allLost && !membership.busy) this.startOver();
      else this.dropLink(link, 'lost power with writes unflushed');
      return;
    }
    io.resend(link);
    membership.evaluate();
    io.resettle();
    repairs.goOn();
    io.pump();
  }

  /** A replica came into the record while the volume is attached: it joins as any that is out. */
  arrived(replica: ReplicaRecord): void {
    const { core, sessions } = this.parts;
    sessions.open(sessions.add(replica, 'out'));
    core.host.stateChanged();
  }

  /** It has left the record; it was out before, so that no request waits for it. */
  departed(link: Link): void {
    const { core, sessions, roster } = this.parts;
    this.dropLink(link, 'left the volume');
    sessions.remove(link);
    roster.forget(link.replicaId);
    core.host.stateChanged();
  }

  /** Replicas that are to leave do so once the others can do without them. */
  letLeave(): void {
    const { core, restore, roster } = this.parts;
    const busy = core.detaching || restore.active;
    if (core.phase === 'serving' && !busy) roster.letLeave();
  }

  /** A session has ended by itself. */
  lost(link: Link, reason: string): void {
    const { core, recovery } = this.parts;
    if (core.over || link.state === 'down') return;
    this.dropLink(link, reason);
    if (core.phase !== 'serving') recovery.decide();
    else this.afterChange();
  }

  dropLink(link: Link, reason: string): void {
    if (link.state === 'down') return;
    const { core, io, internal, joining, membership, sessions } = this.parts;
    sessions.close(link, reason);
    joining.cancel(link);
    membership.onLinkDown(link);
    core.failControls(link);
    internal.onLinkDown(link);
    io.onLinkDown(link);
    core.host.stateChanged();
  }

  /** Roles or links have changed: what waited for that goes on. */
  afterChange(): void {
    const { core, io, joining, membership, recovery, repairs, restore } = this.parts;
    if (core.over) return;
    if (core.phase !== 'serving') {
      recovery.decide();
      return;
    }
    membership.evaluate();
    for (const link of core.links) {
      if (link.role === 'in_sync') {
        joining.ended(link);
      } else if (link.role === 'out' && link.up) this.join(link);
    }
    restore.goOn();
    this.letLeave();
    repairs.goOn();
    io.resettle();
    io.pump();
  }

  /** A replica that owes an answer for too long is not waited for (rule W2). */
  dropOverdue(now: number): void {
    const { core, io, membership } = this.parts;
    const overdue = core.overdueControl(now) ?? io.overdue(now);
    if (overdue === undefined || !overdue.up) return;
    const reason = `owed an answer for more than ${core.options.replicaTimeoutMs} ms`;
    membership.dismiss(overdue, reason);
    if (overdue.up) this.lost(overdue, reason);
  }

  tickServing(now: number): void {
    const { core, membership, joining, cleaner } = this.parts;
    const { replicaTimeoutMs } = core.options;
    for (const link of core.links) {
      const away = link.role === 'in_sync' && !link.up && now - link.downSince >= replicaTimeoutMs;
      if (away) membership.dismiss(link, link.reason || 'did not come back in time');
    }
    // One that came back while no in-sync replica was there has waited for that.
    for (const link of core.links) if (link.role === 'out' && link.up) this.join(link);
    this.letLeave();
    joining.tick(now);
    cleaner.tick(now);
  }

  /**
   * Every in-sync replica has lost its volatile writes: what is left is made
   * equal as after an attach (rule T8). The next flush fails, as on a disk that
   * could not write its cache, because what was acknowledged before it is not stable.
   */
  private startOver(): void {
    const { core, io, recovery } = this.parts;
    io.cacheLost();
    for (const link of core.links) {
      if (link.role === 'joining') this.dropLink(link, 'its source has lost power');
    }
    recovery.begin();
  }

  private join(link: Link): void {
    const { core, joining, restore, roster } = this.parts;
    if (core.inSyncUp().length === 0) return;
    if (core.detaching || restore.active) return;
    if (!roster.mayJoin(link)) return;
    joining.begin(link);
  }
}
