import { assert } from '../../../kernel/assert.js';
import { PxError } from '../../../kernel/errors.js';
import type { IoLimits, VolumeRecord } from '../../../kernel/volume-record.js';
import type { Frontend, FrontendOptions, VolumeTarget } from '../../io/ports.js';
import { Coordinator } from '../../protocol/coordinator.js';
import type { CheckResult } from '../../protocol/coordinator-types.js';
import { productionGeometry, Status } from '../../protocol/ops.js';
import type {
  CoordinatorEvents,
  CoordinatorHost,
  LinkFactory,
  RecordOutcome,
} from '../../protocol/ports.js';
import type { RecordChange } from '../../protocol/record-changes.js';
import type { AttachedVolumeStatus, EngineTiming } from '../api.js';
import { IoThrottle } from './io-throttle.js';
import type { TimerEntry, Timed } from './coordinator-timers.js';
import type { FromThread } from './messages.js';
import type { IoThreadContext } from './context.js';

/** A flush may wait for a slow disk this long before its replica is taken out. */
const flushTimeoutMs = 30_000;

/** The way in to the volume, with what the engine says about it. */
export interface OpenFrontend {
  readonly kind: 'fuse' | 'nbd';
  readonly nbdUri: string;
  /** Called when the volume is served for the first time, or when it never will be. */
  start(): void;
  close(): void;
  resize(sizeBytes: number): void;
}

/** Where one frontend sends its requests: remembers to whom each answer goes. */
export class FrontendTarget implements VolumeTarget {
  frontend: Frontend | undefined;

  constructor(
    private readonly owners: (Frontend | undefined)[],
    private readonly volume: VolumeTarget,
  ) {}

  submit(slot: number): void {
    this.owners[slot] = this.frontend;
    this.volume.submit(slot);
  }
}

export interface AttachedVolumeOptions {
  readonly record: VolumeRecord;
  readonly token: string;
  readonly previousOwnerDead: boolean;
  readonly readOnly: boolean;
}

/** A volume whose coordinator lives on this thread, with its frontend. */
export class AttachedVolume implements CoordinatorHost, VolumeTarget, Timed {
  readonly volumeId: string;
  readonly token: string;
  readonly coordinator: Coordinator;
  private record: VolumeRecord;
  private sizeBytes: number;
  private open: OpenFrontend | undefined;
  private started = false;
  private telling = false;
  /** Only volumes that have, or had, limits pay for one. */
  private throttle: IoThrottle | undefined;
  private readonly timer: TimerEntry;

  constructor(
    private readonly context: IoThreadContext,
    private readonly options: AttachedVolumeOptions,
    timing: EngineTiming,
  ) {
    const { record, token, previousOwnerDead } = options;
    this.volumeId = record.id;
    this.token = token;
    this.record = record;
    this.sizeBytes = record.sizeBytes;
    this.timer = context.timers.add(this);
    this.coordinator = new Coordinator({
      clusterId: context.clusterId,
      volumeId: record.id,
      nodeId: context.nodeId,
      token,
      slots: context.slots,
      clock: context.clock,
      links: this.linkFactory(),
      host: this,
      options: { ...timing, flushTimeoutMs, geometry: productionGeometry },
      previousOwnerDead,
    });
    this.setLimits(record.spec.limits);
  }

  begin(): void {
    this.coordinator.start(this.record);
  }

  /** From a frontend. */
  submit(slot: number): void {
    this.timer.stale = true;
    const { throttle } = this;
    if (throttle === undefined || throttle.admit(slot, this.context.clock.now())) {
      this.coordinator.submit(slot);
    }
  }

  complete(slot: number, status: number): void {
    const owner = this.context.owners[slot];
    assert(owner !== undefined, 'a request was answered that nobody asked');
    this.context.owners[slot] = undefined;
    owner.complete(slot, status);
  }

  requestChange(change: RecordChange): void {
    this.context.post({ type: 'change', volumeId: this.volumeId, token: this.token, change });
  }

  stateChanged(): void {
    if (this.telling) return;
    // Once a turn at most, and after whatever is changing has changed.
    this.telling = true;
    this.context.outbox.defer(() => {
      this.telling = false;
      this.startFrontend();
      const message: FromThread = { type: 'state', status: this.status() };
      this.context.post(message);
    });
  }

  onOutcome(outcome: RecordOutcome): void {
    if (outcome.record !== undefined) {
      this.record = outcome.record;
      this.setLimits(outcome.record.spec.limits);
    }
    this.timer.stale = true;
    this.coordinator.onRecord(outcome);
  }

  onRecordHint(record: VolumeRecord): void {
    this.setLimits(record.spec.limits);
    this.timer.stale = true;
    this.coordinator.onRecordChanged(record);
  }

  nextDeadline(): number {
    const { throttle } = this;
    const deadline = this.coordinator.nextDeadline();
    return throttle === undefined ? deadline : Math.min(deadline, throttle.nextDeadline());
  }

  tick(now: number): void {
    this.coordinator.tick(now);
    this.throttle?.tick(now);
  }

  get isFrontendWaiting(): boolean {
    return this.open !== undefined && !this.started;
  }

  get frontendKind(): 'fuse' | 'nbd' | 'none' {
    return this.open?.kind ?? 'none';
  }

  get nbdUri(): string {
    return this.open?.nbdUri ?? '';
  }

  frontendOptions(): FrontendOptions {
    return {
      volumeId: this.volumeId,
      sizeBytes: this.sizeBytes,
      blockSizeBytes: this.record.spec.blockSizeBytes,
      readOnly: this.options.readOnly || this.record.readOnly,
    };
  }

  target(): FrontendTarget {
    return new FrontendTarget(this.context.owners, this);
  }

  setFrontend(open: OpenFrontend): void {
    assert(this.open === undefined, 'a volume has one frontend');
    this.open = open;
    this.started = false;
    this.startFrontend();
    this.stateChanged();
  }

  /** Stops taking requests. What is in flight is answered by the coordinator before it ends. */
  closeFrontend(): void {
    this.open?.close();
  }

  /** Gives the epoch back; nothing of the volume is at work when `done` is called. */
  end(force: boolean, done: () => void): void {
    this.closeFrontend();
    // Whoever ends waits for what is in flight, and what is delayed must not hold it up.
    this.setLimits(undefined);
    this.timer.stale = true;
    this.coordinator.detach(force, () => {
      this.context.timers.remove(this.timer);
      done();
    });
  }

  copy(
    targetVolumeId: string,
    replicas: ReadonlyMap<string, string>,
    done: (status: number, copied: readonly string[]) => void,
  ): void {
    this.timer.stale = true;
    this.coordinator.copyTo(targetVolumeId, replicas, done);
  }

  restore(
    sourceVolumeId: string,
    replicaIds: readonly string[],
    done: (status: number) => void,
  ): void {
    if (this.open !== undefined) {
      throw new PxError('failed_precondition', 'a volume is restored while it has no frontend');
    }
    this.timer.stale = true;
    this.coordinator.restoreFrom(sourceVolumeId, replicaIds, done);
  }

  resize(sizeBytes: number, done: (status: number) => void): void {
    this.timer.stale = true;
    this.coordinator.resize(sizeBytes, (status) => {
      if (status === Status.ok) {
        this.sizeBytes = sizeBytes;
        this.open?.resize(sizeBytes);
      }
      done(status);
    });
  }

  check(done: (result: CheckResult) => void): void {
    this.timer.stale = true;
    this.coordinator.check(done);
  }

  status(): AttachedVolumeStatus {
    const { phase, reason, replicas } = this.coordinator.status();
    return {
      volumeId: this.volumeId,
      epoch: this.coordinator.epoch,
      phase: phase === 'closed' ? 'waiting' : phase,
      reason,
      // The holder makes the device: the main thread fills this in.
      devicePath: '',
      nbdUri: this.nbdUri,
      frontend: this.frontendKind,
      readOnly: this.frontendOptions().readOnly,
      replicas: replicas.map((replica) => {
        const well = replica.connected && replica.state === 'in_sync';
        return well ? { ...replica, reason: '' } : replica;
      }),
      stats: {
        ...this.coordinator.stats,
        inFlight: this.coordinator.inFlight + (this.throttle?.delayed ?? 0),
      },
    };
  }

  /** Also while requests wait: they go on at the new pace. */
  private setLimits(limits: IoLimits = {}): void {
    const now = this.context.clock.now();
    const unlimited = Object.keys(limits).length === 0;
    if (this.throttle !== undefined) {
      this.throttle.setLimits(limits);
      this.throttle.tick(now);
    } else if (!unlimited) {
      const forward = (slot: number): void => this.coordinator.submit(slot);
      this.throttle = new IoThrottle(this.context.slots, forward, limits);
    }
    this.timer.stale = true;
  }

  private startFrontend(): void {
    if (this.started || this.open === undefined) return;
    const { phase } = this.coordinator.status();
    // A fenced volume answers everything with an error, which is better than silence.
    if (phase !== 'serving' && phase !== 'fenced') return;
    this.started = true;
    this.open.start();
    this.context.onFrontendStarted();
  }

  /** Links report to the coordinator through here, so that its deadline is looked at again. */
  private linkFactory(): LinkFactory {
    const { timer } = this;
    const events: CoordinatorEvents = {
      onHello: (link, reply) => {
        timer.stale = true;
        this.coordinator.onHello(link, reply);
      },
      onReply: (link, slot, status) => {
        timer.stale = true;
        this.coordinator.onReply(link, slot, status);
      },
      onControlReply: (link, tag, reply) => {
        timer.stale = true;
        this.coordinator.onControlReply(link, tag, reply);
      },
      onLinkDown: (link, reason) => {
        timer.stale = true;
        this.coordinator.onLinkDown(link, reason);
      },
      onRecord: (outcome) => this.onOutcome(outcome),
    };
    return {
      create: (link, nodeId) => this.context.createLink(events, link, nodeId),
    };
  }
}
