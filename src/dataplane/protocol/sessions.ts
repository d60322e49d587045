import { assert } from '../../kernel/assert.js';
import type { ReplicaRecord } from '../../kernel/volume-record.js';
import type { CoordinatorDeps } from './coordinator-types.js';
import type { CoordinatorCore } from './core.js';
import type { AcceptedHello, Role } from './link.js';
import { Link } from './link.js';
import { Status } from './ops.js';
import { leaseSafety } from './read-lease.js';

export interface SessionEvents {
  epoch(): number;
  /** Every mutation up to this number is complete everywhere; a heartbeat carries it. */
  completedSeq(): number;
  /** The replica says that it can't be relied on any more. */
  dismiss(link: Link, reason: string): void;
  /** The session could not be opened in time. */
  lost(link: Link, reason: string): void;
  /** A lease was granted: what waits for one may be answered. */
  leased(): void;
}

/** A request's masks have a bit for each. */
const mostLinks = 30;
const reopenInSyncMs = 100;
const reopenOutMs = 1000;

/**
 * The sessions with the volume's replicas: opens them, opens them again after
 * a loss, and keeps their leases alive by heartbeats (rules T2 and L1). What a
 * session that begins or ends means for the volume is the coordinator's to say.
 */
export class Sessions {
  /** By the number that the adapters know a link by; it may be used again. */
  private readonly numbered: (Link | undefined)[] = [];

  constructor(
    private readonly core: CoordinatorCore,
    private readonly deps: CoordinatorDeps,
    private readonly events: SessionEvents,
  ) {}

  /** Undefined when the replica that had this number has left the volume. */
  link(index: number): Link | undefined {
    return this.numbered[index];
  }

  add(replica: ReplicaRecord, role: Role): Link {
    const free = this.numbered.indexOf(undefined);
    const index = free < 0 ? this.numbered.length : free;
    assert(index < mostLinks, 'the replicas of a volume are few');
    const port = this.deps.links.create(index, replica.nodeId, replica.id);
    const local = replica.nodeId === this.deps.nodeId;
    const now = this.core.clock.now();
    const link = new Link(index, replica.id, replica.nodeId, local, port, role, now);
    this.numbered[index] = link;
    this.core.links = [...this.core.links, link];
    return link;
  }

  /** The replica has left the volume; its number may be another one's from now on. */
  remove(link: Link): void {
    this.core.links = this.core.links.filter((other) => other !== link);
    this.numbered[link.index] = undefined;
  }

  open(link: Link): void {
    link.state = 'opening';
    link.openedAt = this.core.clock.now();
    link.port.open({
      clusterId: this.deps.clusterId,
      volumeId: this.deps.volumeId,
      replicaId: link.replicaId,
      epoch: this.events.epoch(),
      token: this.deps.token,
      leaseMs: this.core.options.leaseMs,
      previousOwnerDead: this.deps.previousOwnerDead,
    });
  }

  /** The replica has accepted our hello. */
  opened(link: Link, hello: AcceptedHello): void {
    link.state = 'up';
    link.hello = hello;
    link.heartbeatSentAt = -Infinity;
  }

  close(link: Link, reason: string): void {
    const now = this.core.clock.now();
    // Attempts that fail at once (a port that refuses) must not count as having been there.
    if (link.up) link.downSince = now;
    link.state = 'down';
    link.reason = reason;
    link.leaseUntil = -Infinity;
    link.nextOpenAt = now + (link.role === 'in_sync' ? reopenInSyncMs : reopenOutMs);
    link.port.close();
  }

  closeAll(): void {
    for (const link of this.core.links) {
      link.state = 'down';
      link.port.close();
    }
  }

  heartbeat(link: Link, now: number): void {
    if (this.core.leasesGivenBack) return;
    link.heartbeatSentAt = now;
    const message = { type: 'heartbeat', completedSeq: this.events.completedSeq() } as const;
    this.core.control(link, message, this.core.options.replicaTimeoutMs, (reply) => {
      if (!link.up) return;
      if (reply.status !== Status.ok) {
        this.events.dismiss(link, `its store failed with errno ${reply.status}`);
        return;
      }
      if (this.core.leasesGivenBack) return;
      link.leaseUntil = Math.max(link.leaseUntil, now + this.core.options.leaseMs * leaseSafety);
      link.roundTripMs = this.core.clock.now() - now;
      this.events.leased();
    });
  }

  nextDeadline(): number {
    const { heartbeatMs, replicaTimeoutMs } = this.core.options;
    let deadline = Infinity;
    for (const link of this.core.links) {
      if (link.up) deadline = Math.min(deadline, this.heartbeatDue(link, heartbeatMs));
      else if (link.state === 'down') {
        if (link.role !== 'leaving') deadline = Math.min(deadline, link.nextOpenAt);
      } else deadline = Math.min(deadline, link.openedAt + replicaTimeoutMs);
    }
    return deadline;
  }

  tick(now: number): void {
    const { heartbeatMs, replicaTimeoutMs } = this.core.options;
    for (const link of this.core.links) {
      if (link.up && now >= this.heartbeatDue(link, heartbeatMs)) this.heartbeat(link, now);
      if (link.state === 'down' && link.role !== 'leaving' && now >= link.nextOpenAt) {
        this.open(link);
      }
      if (link.state === 'opening' && now - link.openedAt >= replicaTimeoutMs) {
        this.events.lost(link, 'no answer to hello');
      }
    }
  }

  /** Leases that were given back are not asked for again. */
  private heartbeatDue(link: Link, heartbeatMs: number): number {
    return this.core.leasesGivenBack ? Infinity : link.heartbeatSentAt + heartbeatMs;
  }
}
