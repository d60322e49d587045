import type { VolumeRecord } from '../../kernel/volume-record.js';
import { delay } from '../../platform/monotonic.js';
import type { ClusterState } from '../cluster/cluster-view.js';
import type { EngineStatus, ReplicaInfo } from '../engine/api.js';
import type { NodeContext } from './context.js';
import { finishCreation } from './create-volume.js';
import { removeReplicas } from './delete-volume.js';
import type { HealthProblem } from './node-health.js';
import { removeReplicaOn } from './replicas.js';

/** A caller that began a creation comes back sooner than this. */
const abandonedMs = 60_000;
/** Nobody wants a snapshot of a moment that is long over. */
const abandonedCopyMs = 600_000;
const periodMs = 30_000;
const settleMs = 500;

/**
 * Brings this node to what etcd says of it: removes replicas of deleted
 * volumes, makes missing ones, goes on with creations that were abandoned,
 * takes down what was fenced. Runs at the start, on every change, and now and then.
 */
export class Reconciler {
  private wanted = false;
  private running = false;
  private closed = false;
  private timer: NodeJS.Timeout | undefined;

  constructor(private readonly context: NodeContext) {}

  start(): void {
    this.context.view.onChange(() => this.request());
    this.timer = setInterval(() => this.request(), periodMs);
    this.timer.unref();
    this.request();
  }

  close(): void {
    this.closed = true;
    clearInterval(this.timer);
  }

  private request(): void {
    this.wanted = true;
    if (!this.running && !this.closed) void this.loop();
  }

  private async loop(): Promise<void> {
    this.running = true;
    while (this.wanted && !this.closed) {
      await delay(settleMs);
      this.wanted = false;
      try {
        await this.pass();
      } catch (error) {
        this.context.logger.debug('reconciling was interrupted', { error });
      }
    }
    this.running = false;
  }

  private async pass(): Promise<void> {
    const { context } = this;
    // In this order: a replica that is listed was in a record before it was made.
    const engine = await context.engine.call('engine.status', {});
    const state = context.view.cached();
    if (state.readAtMs === 0) return;
    const present = new Set(engine.replicas.map(({ replicaId }) => replicaId));
    for (const record of state.volumes.values()) {
      if (this.closed) return;
      if (!this.needsLook(record, present) || context.locks.isHeld(record.id)) continue;
      try {
        await this.reconcileVolume(record, state, present);
      } catch (error) {
        context.logger.info('a volume could not be reconciled yet', { volume: record.id, error });
      }
    }
    await this.takeDownFenced(engine);
    this.reportOrphans(state, engine.replicas);
  }

  /** Almost none of thousands of volumes does; asking costs no turn of the loop. */
  private needsLook(record: VolumeRecord, presentReplicas: ReadonlySet<string>): boolean {
    if (record.lifecycle !== 'ready' || (record.leavers ?? []).length > 0) return true;
    return record.replicas.some(
      ({ id, nodeId, state }) =>
        state === 'out' && nodeId === this.context.self.id && !presentReplicas.has(id),
    );
  }

  private async reconcileVolume(
    record: VolumeRecord,
    state: ClusterState,
    presentReplicas: ReadonlySet<string>,
  ): Promise<void> {
    const { context } = this;
    const self = context.self.id;
    const mine = record.replicas.filter((replica) => replica.nodeId === self);
    if (record.lifecycle === 'deleting') {
      if (record.replicas.length === 0 && isFirstAlive(state, self)) {
        await removeReplicas(context, record);
      }
      for (const replica of mine) await removeReplicaOn(context, record, replica);
      await this.forgetLost(record, state);
      return;
    }
    if (record.lifecycle === 'creating') return this.resume(record, state);
    await this.deleteLeavers(record, state);
    for (const replica of mine) {
      // One that leaves before it was ever made is not made for that.
      if (record.replicaWish?.removing.includes(replica.id) === true) continue;
      const present = presentReplicas.has(replica.id);
      // One that is in sync by the record and yet not there is first taken out
      // by its coordinator; only then may an empty one stand in for it.
      if (present || replica.state !== 'out' || !this.poolIsWhole(replica.poolId)) continue;
      await context.engine.call('replica.ensure', {
        volumeId: record.id,
        replicaId: replica.id,
        poolId: replica.poolId,
        sizeBytes: record.sizeBytes,
        blank: true,
      });
      context.logger.warn('a missing replica was made anew; it will be filled', {
        volume: record.id,
      });
    }
  }

  /** What left the volume is deleted by its node, and that of a node which is gone by nobody. */
  private async deleteLeavers(record: VolumeRecord, state: ClusterState): Promise<void> {
    const { context } = this;
    const self = context.self.id;
    for (const { id, nodeId, poolId } of record.leavers ?? []) {
      const isGone = !state.nodes.has(nodeId) && isFirstAlive(state, self);
      if (nodeId !== self && !isGone) continue;
      if (nodeId === self) {
        if (!this.poolIsWhole(poolId)) continue;
        await context.engine.call('replica.remove', { volumeId: record.id, replicaId: id });
        context.logger.info('a replica that left its volume was deleted', { volume: record.id });
      }
      await context.volumes.update(record.id, (current) => {
        const leavers = current.leavers?.filter((leaver) => leaver.id !== id);
        return leavers === undefined ? undefined : { ...current, leavers };
      });
    }
  }

  /** A deleted volume does not wait for nodes that were decommissioned. */
  private async forgetLost(record: VolumeRecord, state: ClusterState): Promise<void> {
    const { context } = this;
    if (!isFirstAlive(state, context.self.id)) return;
    for (const { id, nodeId } of record.replicas) {
      if (!state.nodes.has(nodeId)) await context.volumes.dropReplica(record.id, id);
    }
  }

  /** A drive that is away may hold the replica that seems to be missing. */
  private poolIsWhole(poolId: string): boolean {
    const { pools, drives } = this.context.pools;
    return (
      pools.some((pool) => pool.id === poolId && pool.state !== 'offline') &&
      drives.every((drive) => drive.poolId !== poolId || drive.state === 'online')
    );
  }

  private async resume(record: VolumeRecord, state: ClusterState): Promise<void> {
    const { context } = this;
    const ageMs = Date.now() - Date.parse(record.createdAt);
    const first = record.replicas.find((replica) => state.alive.has(replica.nodeId));
    const isOurs =
      first === undefined ? isFirstAlive(state, context.self.id) : first.nodeId === context.self.id;
    if (!isOurs) return;
    if (record.pendingCopy === undefined) {
      if (ageMs < abandonedMs) return;
      await finishCreation(context, record, { preferred_nodes: [], required: [] });
      context.logger.info('an abandoned creation was finished', { volume: record.id });
    } else if (ageMs > abandonedCopyMs) {
      const marked = await context.volumes.markDeleting(record.id, () => undefined);
      if (marked !== undefined) await removeReplicas(context, marked);
      context.logger.info('an abandoned copy was removed', { volume: record.id });
    }
  }

  /** A device whose epoch is over only gives errors; whoever holds it open must let go. */
  private async takeDownFenced(engine: EngineStatus): Promise<void> {
    for (const volume of engine.volumes) {
      if (volume.phase !== 'fenced') continue;
      const { volumeId } = volume;
      if (this.context.locks.isHeld(volumeId)) continue;
      await this.context.locks.run(volumeId, 1_000, () =>
        this.context.engine.call('volume.detach', { volumeId, force: true }),
      );
      this.context.logger.warn('a fenced attach was taken down', { volume: volumeId });
    }
  }

  /** Never removed by us: a record may come back from a backup of etcd. */
  private reportOrphans(state: ClusterState, replicas: readonly ReplicaInfo[]): void {
    const problems: HealthProblem[] = [];
    for (const { volumeId, replicaId, state: replicaState, reason } of replicas) {
      const record = state.volumes.get(volumeId);
      const known = [...(record?.replicas ?? []), ...(record?.leavers ?? [])];
      if (record === undefined || !known.some(({ id }) => id === replicaId)) {
        problems.push({
          severity: 'warning',
          resource: `replica/${replicaId}`,
          message: `replica ${replicaId} of volume ${volumeId} belongs to no record; it is kept`,
        });
      } else if (replicaState === 'failed') {
        problems.push({
          severity: 'warning',
          resource: `replica/${replicaId}`,
          message: `the replica of volume ${record.name} failed: ${reason}`,
        });
      }
    }
    this.context.health.set('replicas', problems);
  }
}

export function isFirstAlive(state: ClusterState, selfId: string): boolean {
  return [...state.alive].sort()[0] === selfId;
}
