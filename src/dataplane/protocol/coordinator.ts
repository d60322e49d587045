import type { VolumeRecord } from '../../kernel/volume-record.js';
import { bitmapBytes, resized } from './bitmap.js';
import type { CoordinatorParts } from './coordinator-parts.js';
import { makeParts } from './coordinator-parts.js';
import { describeCoordinator } from './coordinator-status.js';
import type { CheckResult, CoordinatorDeps, CoordinatorStatus } from './coordinator-types.js';
import type { CoordinatorCore } from './core.js';
import type { InternalIo } from './internal-io.js';
import type { IoPath } from './io-path.js';
import type { ControlReply, HelloReply } from './messages.js';
import { Status } from './ops.js';
import type { CoordinatorEvents, RecordOutcome } from './ports.js';
import { leaseSafety } from './read-lease.js';
import { ReplicaChanges } from './replica-changes.js';
import type { Sessions } from './sessions.js';

/**
 * The coordinator of one volume: orders its I/O, keeps its replicas equal, and
 * decides with etcd who counts as in sync. One lives in the cluster at a time;
 * a second one that believes so is fenced by the replicas.
 *
 * This is its surface: what px-node's engine and the adapters of replicas call.
 * A request's way is in `io-path.ts`; the replicas' sessions and leases in
 * `sessions.ts`; what happens before the first request in `recovery.ts`; who is
 * in sync in `membership.ts`; what follows when a replica comes or goes in
 * `replica-changes.ts`; how one catches up in `joining.ts`.
 */
export class Coordinator implements CoordinatorEvents {
  private readonly parts: CoordinatorParts;
  private readonly changes: ReplicaChanges;
  // Parts that every request passes.
  private readonly core: CoordinatorCore;
  private readonly io: IoPath;
  private readonly internal: InternalIo;
  private readonly sessions: Sessions;
  private record: VolumeRecord | undefined;
  /** The size that every replica is told, also one that comes back while others are being told. */
  private announcedBytes = 0;
  private ended: (() => void) | undefined;

  constructor(deps: CoordinatorDeps) {
    this.parts = makeParts(deps, {
      epoch: () => this.epoch,
      fenced: (reason) => this.fence(reason),
      recovered: () => this.changes.serve(),
      arrived: (replica) => this.changes.arrived(replica),
      departed: (link) => this.changes.departed(link),
      dropLink: (link, reason) => this.changes.dropLink(link, reason),
      lost: (link, reason) => this.changes.lost(link, reason),
      changed: () => this.changes.afterChange(),
    });
    this.changes = new ReplicaChanges(this.parts);
    this.core = this.parts.core;
    this.io = this.parts.io;
    this.internal = this.parts.internal;
    this.sessions = this.parts.sessions;
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
    for (const replica of record.replicas) this.sessions.add(replica, replica.state);
    this.parts.roster.take(record);
    this.parts.recovery.begin();
    for (const link of this.core.links) this.sessions.open(link);
  }

  submit(slot: number): void {
    this.io.submit(slot);
  }

  onHello(index: number, reply: HelloReply): void {
    const link = this.sessions.link(index);
    if (this.core.over || link?.state !== 'opening') return;
    if (!reply.ok) {
      if (reply.code === 'fenced' && reply.epoch >= this.epoch) this.fence(reply.message);
      else this.changes.lost(link, `${reply.code}: ${reply.message}`);
      return;
    }
    this.sessions.opened(link, reply);
    const mayLead =
      this.parts.recovery.allLossy && link.guardsReads && this.core.phase !== 'serving';
    link.doubtful = (reply.lossy || reply.blank) && !mayLead;
    const now = this.core.clock.now();
    this.parts.recovery.leaseOverAt = Math.max(
      this.parts.recovery.leaseOverAt,
      now + reply.leaseRemainingMs / leaseSafety,
    );
    if (reply.sizeBytes < this.announcedBytes) {
      this.parts.ops.resize([link], this.announcedBytes, () => undefined);
    }
    this.sessions.heartbeat(link, now);
    if (this.core.phase === 'serving') this.changes.welcome(link);
    else this.parts.recovery.decide();
    this.core.host.stateChanged();
  }

  onReply(index: number, slot: number, status: number): void {
    const link = this.sessions.link(index);
    if (link === undefined) return;
    if (this.internal.owns(slot)) {
      if (status === Status.fenced) this.fence(`replica ${link.replicaId} obeys a newer epoch`);
      else this.internal.onReply(link, slot, status);
      return;
    }
    this.io.onReply(link, slot, status);
  }

  onControlReply(index: number, tag: number, reply: ControlReply): void {
    const link = this.sessions.link(index);
    if (link === undefined) return;
    if (reply.status === Status.fenced) this.fence(`replica ${link.replicaId} obeys a newer epoch`);
    else this.core.onControlReply(link, tag, reply);
  }

  onLinkDown(index: number, reason: string): void {
    const link = this.sessions.link(index);
    if (link !== undefined) this.changes.lost(link, reason);
  }

  onRecord(outcome: RecordOutcome): void {
    if (this.ended !== undefined && outcome.change.type === 'detach') {
      this.close();
      return;
    }
    if (this.core.over) return;
    if (outcome.record !== undefined) {
      this.record = outcome.record;
      if (outcome.result !== 'fenced') this.parts.roster.take(outcome.record);
    }
    this.parts.membership.onRecord(outcome);
  }

  /** A hint from the watch: etcd may know more than we do. */
  onRecordChanged(record: VolumeRecord): void {
    if (this.core.over || this.record === undefined) return;
    if (record.epoch > this.record.epoch) this.fence('the volume was attached elsewhere');
    else if (record.epoch === this.record.epoch) {
      this.parts.roster.take(record);
      this.changes.letLeave();
    }
  }

  nextDeadline(): number {
    if (this.core.over) return Infinity;
    const hungry = this.internal.isHungry ? this.core.clock.now() + 5 : Infinity;
    return Math.min(
      this.parts.recovery.nextDeadline(),
      this.parts.cleaner.nextDeadline(),
      this.sessions.nextDeadline(),
      this.parts.joining.nextDeadline(),
      hungry,
    );
  }

  tick(now: number): void {
    if (this.core.over) return;
    this.sessions.tick(now);
    this.changes.dropOverdue(now);
    this.internal.retry();
    if (this.core.phase === 'serving') this.changes.tickServing(now);
    else this.parts.recovery.decide();
  }

  /** See `VolumeOps.copyTo`. Refused unless serving. */
  copyTo(
    targetVolumeId: string,
    replicas: ReadonlyMap<string, string>,
    done: (status: number, copied: readonly string[]) => void,
  ): void {
    if (this.core.phase !== 'serving') return done(Status.ioError, []);
    this.parts.ops.copyTo(targetVolumeId, replicas, done);
  }

  /** See `ContentRestore`. */
  restoreFrom(
    sourceVolumeId: string,
    /** Replicas that have the source beside them: one of these takes it over. */
    candidates: readonly string[],
    done: (status: number) => void,
  ): void {
    if (this.parts.restore.begin(sourceVolumeId, candidates, done)) this.changes.afterChange();
    else done(Status.ioError);
  }

  /** The record has grown: tells the replicas, then allows I/O up to the new size. */
  resize(sizeBytes: number, done: (status: number) => void): void {
    if (sizeBytes < this.core.sizeBytes) return done(Status.invalid);
    this.announcedBytes = Math.max(this.announcedBytes, sizeBytes);
    this.parts.ops.resize(this.core.links, sizeBytes, () => {
      this.setSize(Math.max(sizeBytes, this.core.sizeBytes));
      done(Status.ok);
    });
  }

  check(done: (result: CheckResult) => void): void {
    if (this.core.phase !== 'serving') {
      done({ status: Status.ioError, bytesCompared: 0, replicas: [], differences: [] });
      return;
    }
    this.parts.ops.check(done);
  }

  /** The frontends are closed: makes everything stable, gives the epoch back, then calls back. */
  detach(force: boolean, done: () => void): void {
    if (this.core.over) return done();
    this.ended = done;
    this.core.detaching = true;
    const giveBack = (): void => {
      if (this.core.over) return;
      this.core.host.requestChange({ type: 'detach', epoch: this.epoch });
    };
    if (force || this.core.phase !== 'serving') giveBack();
    else this.parts.ops.quiesce(giveBack);
  }

  status(): CoordinatorStatus {
    return describeCoordinator(this.core, this.parts.joining);
  }

  private setSize(sizeBytes: number): void {
    this.core.sizeBytes = sizeBytes;
    this.announcedBytes = Math.max(this.announcedBytes, sizeBytes);
    const bytes = bitmapBytes(sizeBytes, this.core.options.geometry.chunkBytes);
    this.core.marks = resized(this.core.marks, bytes);
    this.core.touched = resized(this.core.touched, bytes);
  }

  private fence(reason: string): void {
    if (this.core.over) return;
    this.core.setPhase('fenced', reason);
    this.shutDown();
  }

  private close(): void {
    if (this.core.over) return;
    this.core.setPhase('closed', 'detached');
    this.shutDown();
  }

  private shutDown(): void {
    this.parts.joining.cancelAll();
    this.sessions.closeAll();
    this.parts.copier.cancelAll();
    this.internal.abandon();
    this.parts.repairs.abandon();
    this.io.failAll();
    this.parts.restore.abandon();
    const { ended } = this;
    this.ended = undefined;
    ended?.();
  }
}
