import type { VolumeRecord } from '../../kernel/volume-record.js';
import { monotonicMs } from '../../platform/monotonic.js';
import type { ClusterState } from '../cluster/cluster-view.js';
import { coordinatorHasWork } from '../protocol/replica-wish.js';
import type { NodeContext } from './context.js';

interface Healing {
  /** Changes whenever the resync moves. */
  progress: string;
  movedAtMs: number;
}

const tickMs = 2_000;
/** A pod that moves detaches and attaches within seconds: its attach heals as well. */
const restMs = 5_000;
const stuckMs = 60_000;
/** Attaches that no key tells of are rare: a daemon was killed in the middle of a step. */
const lookMs = 30_000;
const pauseAfterStuckMs = 120_000;
/** A volume that nobody could serve for so long is taken from the dead node that has it attached. */
const unservedMs = 120_000;
const serveLookMs = 10_000;
/** Resyncs share the disks with the users' I/O. */
const maxAtOnce = 2;

/**
 * Resync needs a coordinator, and a detached volume has none: this attaches
 * degraded volumes without a device, on a node with an in-sync replica, until
 * their replicas are whole. A user's attach pushes it aside.
 */
export class Healer {
  private readonly active = new Map<string, Healing>();
  /** Since when a volume could be healed, or until when it is left alone. */
  private readonly waiting = new Map<string, number>();
  /** Volumes attached on a node that is down, and since when no lease of theirs has run here. */
  private unserved = new Map<string, number>();
  private nextServeLookMs = 0;
  private timer: NodeJS.Timeout | undefined;
  private nextLookMs = 0;
  private closed = false;

  constructor(private readonly context: NodeContext) {}

  start(): void {
    this.schedule();
  }

  close(): void {
    this.closed = true;
    clearTimeout(this.timer);
  }

  private schedule(): void {
    if (this.closed) return;
    this.timer = setTimeout(() => {
      this.tick()
        .catch((error: unknown) => this.context.logger.debug('healing was interrupted', { error }))
        .finally(() => this.schedule());
    }, tickMs);
    this.timer.unref();
  }

  private async tick(): Promise<void> {
    const state = this.context.view.cached();
    if (!this.context.kvdb.status().available || state.readAtMs === 0) return;
    await this.adoptLeftovers(state);
    await this.lookForUnserved(state);
    for (const [volumeId, healing] of this.active) await this.follow(volumeId, healing, state);
    for (const volumeId of this.waiting.keys()) {
      const record = state.volumes.get(volumeId);
      if (record === undefined || !this.isOurs(record, state)) this.waiting.delete(volumeId);
    }
    for (const record of state.volumes.values()) {
      if (this.active.size >= maxAtOnce || this.closed) return;
      if (this.active.has(record.id) || !this.isOurs(record, state)) continue;
      const now = monotonicMs();
      const dueAtMs = this.waiting.get(record.id) ?? now + restMs;
      this.waiting.set(record.id, dueAtMs);
      if (now >= dueAtMs && !this.context.locks.isHeld(record.id)) await this.begin(record);
    }
  }

  /** An internal attach of an earlier daemon of this node is followed, or ended. */
  private async adoptLeftovers(state: ClusterState): Promise<void> {
    const selfId = this.context.self.id;
    for (const [volumeId, nodeId] of state.maintenance) {
      if (nodeId !== selfId || this.active.has(volumeId)) continue;
      if (this.context.locks.isHeld(volumeId)) continue;
      this.active.set(volumeId, { progress: '', movedAtMs: monotonicMs() });
    }
    if (monotonicMs() < this.nextLookMs) return;
    this.nextLookMs = monotonicMs() + lookMs;
    for (const { volumeId, frontend } of await this.context.engine.call('volume.list', {})) {
      if (frontend !== 'none' || this.active.has(volumeId)) continue;
      if (this.context.locks.isHeld(volumeId)) continue;
      this.active.set(volumeId, { progress: '', movedAtMs: monotonicMs() });
    }
  }

  private isOurs(record: VolumeRecord, state: ClusterState): boolean {
    if (record.lifecycle !== 'ready') return false;
    if (record.attachedOn !== '' && !this.isAbandoned(record, state)) return false;
    if (!hasWork(record, state)) return false;
    const source = record.replicas.find(
      (replica) => replica.state === 'in_sync' && state.alive.has(replica.nodeId),
    );
    return source?.nodeId === this.context.self.id;
  }

  /**
   * A user's attach on a node that seems dead may go on behind a partition, and
   * then it holds our replica's lease. One without reservation was a healer's.
   */
  private isAbandoned(record: VolumeRecord, state: ClusterState): boolean {
    if (state.alive.has(record.attachedOn)) return false;
    const since = this.unserved.get(record.id);
    const unserved = since !== undefined && monotonicMs() - since > unservedMs;
    return record.publishedOn === '' || unserved;
  }

  private async lookForUnserved(state: ClusterState): Promise<void> {
    if (monotonicMs() < this.nextServeLookMs) return;
    this.nextServeLookMs = monotonicMs() + serveLookMs;
    const dead = [...state.volumes.values()].filter(
      (record) =>
        record.attachedOn !== '' &&
        record.publishedOn !== '' &&
        !state.alive.has(record.attachedOn) &&
        hasWork(record, state),
    );
    const before = this.unserved;
    this.unserved = new Map();
    if (dead.length === 0) return;
    const replicas = await this.context.engine.call('replica.list', {});
    for (const { id } of dead) {
      const mine = replicas.find(({ volumeId }) => volumeId === id);
      if (mine?.isLeased === false) this.unserved.set(id, before.get(id) ?? monotonicMs());
    }
  }

  private async begin(record: VolumeRecord): Promise<void> {
    const { context } = this;
    this.waiting.delete(record.id);
    await context.locks.run(record.id, 1_000, async () => {
      const stored = await context.volumes.get(record.id);
      const state = await context.view.fresh();
      if (stored === undefined || !this.isOurs(stored.record, state)) return;
      context.logger.info('a degraded volume is healed', { volume: record.id });
      this.active.set(record.id, { progress: '', movedAtMs: monotonicMs() });
      try {
        await context.internal.begin(record.id);
      } catch (error) {
        this.active.delete(record.id);
        this.waiting.set(record.id, monotonicMs() + pauseAfterStuckMs);
        throw error;
      }
    });
  }

  private async follow(volumeId: string, healing: Healing, state: ClusterState): Promise<void> {
    const { context } = this;
    if (context.locks.isHeld(volumeId)) return;
    const attached = await context.internal.current(volumeId);
    if (attached !== undefined && attached.frontend !== 'none') {
      this.active.delete(volumeId);
      return;
    }
    const record = state.volumes.get(volumeId);
    const progress = JSON.stringify([record?.replicas, attached?.replicas]);
    if (progress !== healing.progress) {
      healing.progress = progress;
      healing.movedAtMs = monotonicMs();
    }
    const stuck = monotonicMs() - healing.movedAtMs > stuckMs;
    const needed =
      record !== undefined &&
      record.lifecycle === 'ready' &&
      attached !== undefined &&
      attached.phase !== 'fenced' &&
      hasWork(record, state);
    if (needed && !stuck) return;
    if (needed) {
      context.logger.warn('healing does not get on; it is tried again later', {
        volume: volumeId,
        reason: attached.reason,
      });
      this.waiting.set(volumeId, monotonicMs() + pauseAfterStuckMs);
    }
    await context.locks.run(volumeId, 1_000, () => context.internal.end(volumeId));
    this.active.delete(volumeId);
  }
}

function hasWork(record: VolumeRecord, state: ClusterState): boolean {
  return coordinatorHasWork(record, ({ nodeId }) => state.alive.has(nodeId));
}
