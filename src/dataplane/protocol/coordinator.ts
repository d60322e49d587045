import { assert } from '../../kernel/assert.js';
import type { ReplicaRecord, ReplicaState, VolumeRecord } from '../../kernel/volume-record.js';
import { bitmapBytes, resized } from './bitmap.js';
import { Cleaner } from './cleaner.js';
import type { CheckResult, CoordinatorOptions, CoordinatorStatus } from './coordinator-types.js';
import { CoordinatorCore } from './core.js';
import { InternalIo } from './internal-io.js';
import { IoPath } from './io-path.js';
import { Link } from './link.js';
import { Membership } from './membership.js';
import type { ControlReply, HelloReply } from './messages.js';
import { Status } from './ops.js';
import type { SlotTable } from './ops.js';
import type { PlantedFaults } from './planted-faults.js';
import { noFaults } from './planted-faults.js';
import type {
  Clock,
  CoordinatorEvents,
  CoordinatorHost,
  LinkFactory,
  RecordOutcome,
} from './ports.js';
import { RangeCopier } from './range-copier.js';
import { Recovery } from './recovery.js';
import { Repairs } from './repairs.js';
import { Roster } from './roster.js';
import { ResyncThrottle } from './resync-throttle.js';
import type { ResyncProgress } from './resync.js';
import { Resync } from './resync.js';
import { VolumeOps } from './volume-ops.js';

export interface CoordinatorDeps {
  readonly clusterId: string;
  readonly volumeId: string;
  readonly nodeId: string;
  /** The name under which this coordinator attached: `attachToken` of the record. */
  readonly token: string;
  readonly slots: SlotTable;
  readonly clock: Clock;
  readonly links: LinkFactory;
  readonly host: CoordinatorHost;
  readonly options: CoordinatorOptions;
  /** The process that held the epoch before ours ran on this node and is gone. */
  readonly previousOwnerDead: boolean;
}

/** Our clock may run this much slower than a replica's before its lease is misjudged. */
const leaseSafety = 0.9;
/** A request's masks have a bit for each. */
const mostLinks = 30;
const reopenInSyncMs = 100;
const reopenOutMs = 1000;

/**
 * The coordinator of one volume: orders its I/O, keeps its replicas equal, and
 * decides with etcd who counts as in sync. One lives in the cluster at a time;
 * a second one that believes so is fenced by the replicas.
 *
 * It only wires its parts together. A request's way is in `io-path.ts`; what
 * happens before the first is in `recovery.ts`; who is in sync in
 * `membership.ts`; coming back in `resync.ts`.
 */
export class Coordinator implements CoordinatorEvents {
  private readonly core: CoordinatorCore;
  private readonly io: IoPath;
  private readonly internal: InternalIo;
  private readonly membership: Membership;
  private readonly copier: RangeCopier;
  private readonly recovery: Recovery;
  private readonly cleaner: Cleaner;
  private readonly ops: VolumeOps;
  private readonly faults: PlantedFaults;
  private readonly resyncs = new Map<Link, Resync>();
  private readonly throttle: ResyncThrottle;
  private readonly repairs: Repairs;
  private readonly roster: Roster;
  /** By the number that the adapters know a link by; it may be used again. */
  private readonly numbered: (Link | undefined)[] = [];
  private record: VolumeRecord | undefined;
  /** The size that every replica is told, also one that comes back while others are being told. */
  private announcedBytes = 0;
  private ended: (() => void) | undefined;

  constructor(private readonly deps: CoordinatorDeps) {
    const { volumeId, nodeId, slots, clock, host, options } = deps;
    this.faults = options.faults ?? noFaults;
    this.core = new CoordinatorCore(volumeId, nodeId, slots, clock, host, options);
    this.io = new IoPath(this.core, this.faults);
    this.internal = new InternalIo(this.core);
    this.copier = new RangeCopier(this.core, this.internal, this.faults);
    const events = {
      dropLink: (link: Link, reason: string) => this.dropLink(link, reason),
      fenced: (reason: string) => this.fence(reason),
      departed: (link: Link) => this.onDeparted(link),
      membershipChanged: () => this.afterChange(),
    };
    this.membership = new Membership(this.core, this.io, events, () => this.epoch);
    this.roster = new Roster(this.core, this.membership, this.faults, {
      arrived: (replica) => this.addLink(replica),
      departed: (link) => this.onDeparted(link),
    });
    this.recovery = new Recovery(this.core, this.membership, this.copier, this.faults, () =>
      this.serve(),
    );
    this.cleaner = new Cleaner(this.core, this.io, this.internal);
    this.ops = new VolumeOps(this.core, this.io, this.internal, this.cleaner);
    this.throttle = new ResyncThrottle(options.resyncBytesPerSecond);
    this.repairs = new Repairs(this.core, this.membership, this.copier, this.io, (link, reason) =>
      this.onLinkDown(link.index, reason),
    );
    this.io.membership = {
      dismiss: (link, reason) => this.membership.dismiss(link, reason),
      fenced: (reason) => this.fence(reason),
      repair: (offset, length, done) => this.repairs.repair(offset, length, done),
    };
  }

  get epoch(): number {
    return this.record?.epoch ?? 0;
  }

  get stats(): IoPath['stats'] {
    return this.io.stats;
  }

  get inFlight(): number {
    return this.io.inFlight;
  }

  /** Begins with the record as our own `attach` left it in etcd. */
  start(record: VolumeRecord): void {
    this.record = record;
    this.setSize(record.sizeBytes);
    for (const replica of record.replicas) this.makeLink(replica, replica.state);
    this.roster.take(record);
    this.recovery.begin();
    for (const link of this.core.links) this.open(link);
  }

  submit(slot: number): void {
    this.io.submit(slot);
  }

  onHello(index: number, reply: HelloReply): void {
    const link = this.numbered[index];
    if (this.over || link?.state !== 'opening') return;
    if (!reply.ok) {
      if (reply.code === 'fenced' && reply.epoch >= this.epoch) this.fence(reply.message);
      else this.onLinkDown(index, `${reply.code}: ${reply.message}`);
      return;
    }
    link.state = 'up';
    link.hello = reply;
    const mayLead = this.recovery.allLossy && link.guardsReads && this.core.phase !== 'serving';
    link.doubtful = (reply.lossy || reply.blank) && !mayLead;
    link.heartbeatSentAt = -Infinity;
    const now = this.core.clock.now();
    this.recovery.leaseOverAt = Math.max(
      this.recovery.leaseOverAt,
      now + reply.leaseRemainingMs / leaseSafety,
    );
    if (reply.sizeBytes < this.announcedBytes) {
      this.ops.resize([link], this.announcedBytes, () => undefined);
    }
    this.heartbeat(link, now);
    if (this.core.phase === 'serving') this.welcome(link);
    else this.recovery.decide();
    this.core.host.stateChanged();
  }

  onReply(index: number, slot: number, status: number): void {
    const link = this.numbered[index];
    if (link === undefined) return;
    if (this.internal.owns(slot)) {
      if (status === Status.fenced) this.fence(`replica ${link.replicaId} obeys a newer epoch`);
      else this.internal.onReply(link, slot, status);
      return;
    }
    this.io.onReply(link, slot, status);
  }

  onControlReply(index: number, tag: number, reply: ControlReply): void {
    const link = this.numbered[index];
    if (link === undefined) return;
    if (reply.status === Status.fenced) this.fence(`replica ${link.replicaId} obeys a newer epoch`);
    else this.core.onControlReply(link, tag, reply);
  }

  onLinkDown(index: number, reason: string): void {
    const link = this.numbered[index];
    if (this.over || link === undefined || link.state === 'down') return;
    this.dropLink(link, reason);
    if (this.core.phase !== 'serving') this.recovery.decide();
    else this.afterChange();
  }

  onRecord(outcome: RecordOutcome): void {
    if (this.ended !== undefined && outcome.change.type === 'detach') {
      this.close();
      return;
    }
    if (this.over) return;
    if (outcome.record !== undefined) {
      this.record = outcome.record;
      if (outcome.result !== 'fenced') this.roster.take(outcome.record);
    }
    this.membership.onRecord(outcome);
  }

  /** A hint from the watch: etcd may know more than we do. */
  onRecordChanged(record: VolumeRecord): void {
    if (this.over || this.record === undefined) return;
    if (record.epoch > this.record.epoch) this.fence('the volume was attached elsewhere');
    else if (record.epoch === this.record.epoch) {
      this.roster.take(record);
      this.letLeave();
    }
  }

  nextDeadline(): number {
    if (this.over) return Infinity;
    let deadline = Math.min(this.recovery.nextDeadline(), this.cleaner.nextDeadline());
    const { heartbeatMs, replicaTimeoutMs } = this.core.options;
    for (const link of this.core.links) {
      if (link.up) deadline = Math.min(deadline, this.heartbeatDue(link, heartbeatMs));
      else if (link.state === 'down') {
        if (link.role !== 'leaving') deadline = Math.min(deadline, link.nextOpenAt);
      } else deadline = Math.min(deadline, link.openedAt + replicaTimeoutMs);
    }
    if (this.internal.isHungry) deadline = Math.min(deadline, this.core.clock.now() + 5);
    deadline = Math.min(deadline, this.throttle.nextDeadline());
    return deadline;
  }

  tick(now: number): void {
    if (this.over) return;
    const { heartbeatMs, replicaTimeoutMs } = this.core.options;
    for (const link of this.core.links) {
      if (link.up && now >= this.heartbeatDue(link, heartbeatMs)) this.heartbeat(link, now);
      if (link.state === 'down' && link.role !== 'leaving' && now >= link.nextOpenAt) {
        this.open(link);
      }
      if (link.state === 'opening' && now - link.openedAt >= replicaTimeoutMs) {
        this.onLinkDown(link.index, 'no answer to hello');
      }
    }
    this.dropOverdue(now);
    this.internal.retry();
    if (this.core.phase === 'serving') this.tickServing(now);
    else this.recovery.decide();
  }

  /** See `VolumeOps.copyTo`. Refused unless serving. */
  copyTo(
    targetVolumeId: string,
    replicas: ReadonlyMap<string, string>,
    done: (status: number, copied: readonly string[]) => void,
  ): void {
    if (this.core.phase !== 'serving') return done(Status.ioError, []);
    this.ops.copyTo(targetVolumeId, replicas, done);
  }

  /**
   * Puts another volume's content into this one, which has no frontend. All
   * replicas but one are taken out first and compared against it afterwards,
   * so that a crash at any moment leaves the old content or the new.
   */
  restoreFrom(
    sourceVolumeId: string,
    /** Replicas that have the source beside them: one of these takes it over. */
    candidates: readonly string[],
    done: (status: number) => void,
  ): void {
    const keep = this.core.inSyncUp().find((link) => candidates.includes(link.replicaId));
    if (this.core.phase !== 'serving' || this.restore !== undefined || keep === undefined) {
      return done(Status.ioError);
    }
    this.restore = { keep, sourceVolumeId, done, begun: false };
    this.afterChange();
  }

  /** The record has grown: tells the replicas, then allows I/O up to the new size. */
  resize(sizeBytes: number, done: (status: number) => void): void {
    if (sizeBytes < this.core.sizeBytes) return done(Status.invalid);
    this.announcedBytes = Math.max(this.announcedBytes, sizeBytes);
    this.ops.resize(this.core.links, sizeBytes, () => {
      this.setSize(Math.max(sizeBytes, this.core.sizeBytes));
      done(Status.ok);
    });
  }

  check(done: (result: CheckResult) => void): void {
    if (this.core.phase !== 'serving') {
      done({ status: Status.ioError, bytesCompared: 0, replicas: [], differences: [] });
      return;
    }
    this.ops.check(done);
  }

  /** The frontends are closed: makes everything stable, gives the epoch back, then calls back. */
  detach(force: boolean, done: () => void): void {
    if (this.over) return done();
    this.ended = done;
    const giveBack = (): void => {
      if (this.over) return;
      this.core.host.requestChange({ type: 'detach', epoch: this.epoch });
    };
    if (force || this.core.phase !== 'serving') giveBack();
    else this.ops.quiesce(giveBack);
  }

  status(): CoordinatorStatus {
    return {
      phase: this.core.phase,
      reason: this.waitsFor(),
      replicas: this.core.links.map((link) => {
        const progress: ResyncProgress | undefined = this.resyncs.get(link)?.progress;
        const joining = link.role === 'joining' || link.role === 'adding';
        return {
          replicaId: link.replicaId,
          nodeId: link.nodeId,
          state: joining ? 'resync' : link.role === 'out' ? 'out' : 'in_sync',
          connected: link.up,
          reason: link.reason,
          resyncBytesDone: progress?.bytesDone ?? 0,
          resyncBytesTotal: progress?.bytesTotal ?? 0,
          resyncBytesCopied: progress?.bytesCopied ?? 0,
        };
      }),
    };
  }

  private restore:
    | {
        readonly keep: Link;
        readonly sourceVolumeId: string;
        readonly done: (status: number) => void;
        begun: boolean;
      }
    | undefined;

  private waitsFor(): string {
    if (this.core.phase !== 'serving' || this.core.inSyncUp().length > 0) return this.core.reason;
    const names = this.core.inSync().map((link) => link.nodeId);
    return `waits for the in-sync replicas on ${names.join(', ')}`;
  }

  /** Leases that were given back are not asked for again. */
  private heartbeatDue(link: Link, heartbeatMs: number): number {
    return this.core.leasesGivenBack ? Infinity : link.heartbeatSentAt + heartbeatMs;
  }

  private get over(): boolean {
    return this.core.phase === 'fenced' || this.core.phase === 'closed';
  }

  private setSize(sizeBytes: number): void {
    this.core.sizeBytes = sizeBytes;
    this.announcedBytes = Math.max(this.announcedBytes, sizeBytes);
    const bytes = bitmapBytes(sizeBytes, this.core.options.geometry.chunkBytes);
    this.core.marks = resized(this.core.marks, bytes);
    this.core.touched = resized(this.core.touched, bytes);
  }

  private makeLink(replica: ReplicaRecord, role: ReplicaState): Link {
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

  /** A replica that came into the record while the volume is attached: it joins as any that is out. */
  private addLink(replica: ReplicaRecord): void {
    this.open(this.makeLink(replica, 'out'));
    this.core.host.stateChanged();
  }

  /** It is out, so that no request waits for it; its number may be another one's now. */
  private onDeparted(link: Link): void {
    this.dropLink(link, 'left the volume');
    this.core.links = this.core.links.filter((other) => other !== link);
    this.numbered[link.index] = undefined;
    this.roster.forget(link.replicaId);
    this.core.host.stateChanged();
  }

  /** Replicas that are to leave do so once the others can do without them. */
  private letLeave(): void {
    const busy = this.ended !== undefined || this.restore !== undefined;
    if (this.core.phase === 'serving' && !busy) this.roster.letLeave();
  }

  private open(link: Link): void {
    link.state = 'opening';
    link.openedAt = this.core.clock.now();
    link.port.open({
      clusterId: this.deps.clusterId,
      volumeId: this.deps.volumeId,
      replicaId: link.replicaId,
      epoch: this.epoch,
      token: this.deps.token,
      leaseMs: this.core.options.leaseMs,
      previousOwnerDead: this.deps.previousOwnerDead,
    });
  }

  private serve(): void {
    this.core.setPhase('serving', '');
    for (const link of this.core.links) if (link.up) this.welcome(link);
    this.io.pump();
  }

  /** A replica is there while the volume is served. */
  private welcome(link: Link): void {
    if (link.role === 'out') {
      this.join(link);
      return;
    }
    if (link.role === 'in_sync' && link.doubtful) {
      this.membership.dismiss(link, 'lost power with writes unflushed');
      if (link.state === 'down') return;
      // Nobody else can carry on now; it is asked again later, and not trusted meanwhile.
      const allLost = this.core.inSync().every((member) => member.doubtful);
      if (allLost && !this.membership.busy) this.startOver();
      else this.dropLink(link, 'lost power with writes unflushed');
      return;
    }
    this.io.resend(link);
    this.membership.evaluate();
    this.io.resettle();
    this.repairs.goOn();
    this.io.pump();
  }

  /**
   * Every in-sync replica has lost its volatile writes: what is left is made
   * equal as after an attach. The next flush fails, as on a disk that could not
   * write its cache, because what was acknowledged before it is not stable.
   */
  private startOver(): void {
    this.io.cacheLost();
    for (const link of this.core.links) {
      if (link.role === 'joining') this.dropLink(link, 'its source has lost power');
    }
    this.recovery.begin();
  }

  private join(link: Link): void {
    if (this.core.inSyncUp().length === 0) return;
    if (this.ended !== undefined || this.restore !== undefined) return;
    if (!this.roster.mayJoin(link)) return;
    link.role = 'joining';
    link.reason = '';
    const { core, io, internal, copier, membership, throttle, faults } = this;
    const resync = new Resync(core, io, internal, copier, membership, throttle, faults, link);
    this.resyncs.set(link, resync);
    resync.advance();
  }

  private dropLink(link: Link, reason: string): void {
    if (link.state === 'down') return;
    const now = this.core.clock.now();
    // Attempts that fail at once (a port that refuses) must not count as having been there.
    if (link.up) link.downSince = now;
    link.state = 'down';
    link.reason = reason;
    link.leaseUntil = -Infinity;
    link.nextOpenAt = now + (link.role === 'in_sync' ? reopenInSyncMs : reopenOutMs);
    link.port.close();
    this.resyncs.get(link)?.cancel();
    this.resyncs.delete(link);
    this.membership.onLinkDown(link);
    this.core.failControls(link);
    this.internal.onLinkDown(link);
    this.io.onLinkDown(link);
    this.core.host.stateChanged();
  }

  /** Roles or links have changed: what waited for that goes on. */
  private afterChange(): void {
    if (this.over) return;
    if (this.core.phase !== 'serving') {
      this.recovery.decide();
      return;
    }
    this.membership.evaluate();
    for (const link of this.core.links) {
      if (link.role === 'in_sync') {
        this.resyncs.delete(link);
      } else if (link.role === 'out' && link.up) this.join(link);
    }
    this.goOnRestoring();
    this.letLeave();
    this.repairs.goOn();
    this.io.resettle();
    this.io.pump();
  }

  /**
   * Until the content has been replaced no other replica joins: a resync would
   * compare it with what is about to go, and call it equal.
   */
  private goOnRestoring(): void {
    const { restore } = this;
    if (restore === undefined || restore.begun) return;
    const others = this.core.links.filter((link) => link !== restore.keep);
    for (const link of others) this.membership.dismiss(link, 'its content is being replaced');
    if (this.membership.busy || others.some((link) => link.role !== 'out')) return;
    restore.begun = true;
    this.ops.restoreFrom(restore.sourceVolumeId, (status) => {
      if (this.restore !== restore) return;
      this.restore = undefined;
      restore.done(status);
      this.afterChange();
    });
  }

  private heartbeat(link: Link, now: number): void {
    if (this.core.leasesGivenBack) return;
    link.heartbeatSentAt = now;
    const message = { type: 'heartbeat', completedSeq: this.io.completedSeq } as const;
    this.core.control(link, message, this.core.options.replicaTimeoutMs, (reply) => {
      if (!link.up) return;
      if (reply.status !== Status.ok) {
        this.membership.dismiss(link, `its store failed with errno ${reply.status}`);
        return;
      }
      if (this.core.leasesGivenBack) return;
      link.leaseUntil = Math.max(link.leaseUntil, now + this.core.options.leaseMs * leaseSafety);
      link.roundTripMs = this.core.clock.now() - now;
      this.io.pump();
    });
  }

  private dropOverdue(now: number): void {
    const overdue = this.core.overdueControl(now) ?? this.io.overdue(now);
    if (overdue === undefined || !overdue.up) return;
    const reason = `owed an answer for more than ${this.core.options.replicaTimeoutMs} ms`;
    this.membership.dismiss(overdue, reason);
    if (overdue.up) this.onLinkDown(overdue.index, reason);
  }

  private tickServing(now: number): void {
    const { replicaTimeoutMs } = this.core.options;
    for (const link of this.core.links) {
      const away = link.role === 'in_sync' && !link.up && now - link.downSince >= replicaTimeoutMs;
      if (away) this.membership.dismiss(link, link.reason || 'did not come back in time');
    }
    // One that came back while no in-sync replica was there has waited for that.
    for (const link of this.core.links) if (link.role === 'out' && link.up) this.join(link);
    this.letLeave();
    this.throttle.tick(now);
    for (const resync of [...this.resyncs.values()]) resync.advance();
    this.cleaner.tick(now);
  }

  private fence(reason: string): void {
    if (this.over) return;
    this.core.setPhase('fenced', reason);
    this.shutDown();
  }

  private close(): void {
    if (this.over) return;
    this.core.setPhase('closed', 'detached');
    this.shutDown();
  }

  private shutDown(): void {
    for (const resync of this.resyncs.values()) resync.cancel();
    this.resyncs.clear();
    for (const link of this.core.links) {
      link.state = 'down';
      link.port.close();
    }
    this.copier.cancelAll();
    this.internal.abandon();
    this.repairs.abandon();
    this.io.failAll();
    this.restore?.done(Status.fenced);
    this.restore = undefined;
    const { ended } = this;
    this.ended = undefined;
    ended?.();
  }
}
