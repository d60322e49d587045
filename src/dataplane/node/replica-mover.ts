import type { VolumeRecord } from '../../kernel/volume-record.js';
import { toPxError } from '../../kernel/errors.js';
import type { ClusterState } from '../cluster/cluster-view.js';
import { fulfilled } from '../protocol/replica-wish.js';
import type { NodeContext } from './context.js';
import { coordinatorNode } from './coordinator-node.js';
import { finishDecommission } from './decommission.js';
import { isLost, nextStep, planWish, type LossRules } from './replica-plan.js';
import { isFirstAlive } from './reconcile.js';

const settleMs = 1_000;
/** What only time brings about: a node that stays away. */
const periodMs = 30_000;
/** Moves share the disks and the network with the users' I/O. */
const mostAtOnce = { drain: 2, loss: 4 } as const;

/**
 * Carries out what needs no coordinator: places replicas that a wish still
 * lacks, ends wishes that are fulfilled, and makes the wishes that a node which
 * is being emptied, or stays away, calls for. Whatever it does is one
 * compare-and-set on a volume's record, so that two that do it do it once.
 */
export class ReplicaMover {
  private timer: NodeJS.Timeout | undefined;
  private period: NodeJS.Timeout | undefined;
  private closed = false;

  constructor(private readonly context: NodeContext) {}

  start(): void {
    this.context.view.onChange(() => this.schedule());
    this.period = setInterval(() => this.schedule(), periodMs);
    this.period.unref();
    this.schedule();
  }

  close(): void {
    this.closed = true;
    clearTimeout(this.timer);
    clearInterval(this.period);
  }

  private schedule(): void {
    if (this.closed || this.timer !== undefined) return;
    this.timer = setTimeout(() => {
      this.pass()
        .catch((error: unknown) => {
          this.context.logger.debug('replicas could not be moved yet', { error });
        })
        .finally(() => (this.timer = undefined));
    }, settleMs);
    this.timer.unref();
  }

  private async pass(): Promise<void> {
    const { context } = this;
    const state = context.view.cached();
    if (state.readAtMs === 0 || !context.kvdb.status().available) return;
    for (const record of state.volumes.values()) {
      if (record.replicaWish === undefined) continue;
      if (coordinatorNode(record, state, context.self.id) !== context.self.id) continue;
      await this.step(record, state);
    }
    if (!isFirstAlive(state, context.self.id)) return;
    await this.leaveNodes(state);
    await finishDecommission(context, state);
  }

  private rules(): LossRules {
    return {
      nowMs: Date.now(),
      replaceReplicaAfterMs: this.context.config.timing.replaceReplicaAfterMs,
    };
  }

  private async step(record: VolumeRecord, state: ClusterState): Promise<void> {
    const plan = (current: VolumeRecord) =>
      fulfilled(current) ?? nextStep(current, state, this.rules());
    if (plan(record) === undefined) return;
    try {
      const next = await this.context.volumes.update(record.id, plan);
      if (next.replicaWish !== undefined) return;
      this.context.logger.info('the replicas of a volume are where they should be', {
        ...{ volume: record.id, replicas: next.replicas.map(({ nodeId }) => nodeId) },
      });
    } catch (error) {
      this.context.logger.info('a wish for replicas could not be carried on', {
        ...{ volume: record.id, error },
      });
    }
  }

  /** Begins as many moves off nodes that are emptied, or lost, as may be at work at once. */
  private async leaveNodes(state: ClusterState): Promise<void> {
    const records = [...state.volumes.values()];
    for (const cause of ['drain', 'loss'] as const) {
      let atWork = records.filter(({ replicaWish }) => replicaWish?.cause === cause).length;
      for (const record of records) {
        if (atWork >= mostAtOnce[cause]) break;
        const remove = leftNodes(record, state, cause, this.rules());
        if (remove.length === 0 || this.closed) continue;
        if (await this.begin(record, state, cause, remove)) atWork += 1;
      }
    }
  }

  private async begin(
    record: VolumeRecord,
    state: ClusterState,
    cause: 'drain' | 'loss',
    remove: readonly string[],
  ): Promise<boolean> {
    const asked = { count: 0, add: [], remove, cause };
    try {
      planWish(record, asked, state);
    } catch {
      // There is no place for it now; DecommissionNode and the volume's health say so.
      return false;
    }
    try {
      await this.context.volumes.update(record.id, (current) =>
        current.replicaWish === undefined ? planWish(current, asked, state) : undefined,
      );
      this.context.logger.warn('replicas leave a node', {
        volume: record.id,
        cause,
        nodes: remove,
      });
      return true;
    } catch (error) {
      const { message } = toPxError(error);
      this.context.logger.info('replicas can not leave a node yet', { volume: record.id, message });
      return false;
    }
  }
}

/** The nodes that a volume's replicas are to leave, none while another wish is at work or nothing is left to copy. */
export function leftNodes(
  record: VolumeRecord,
  state: ClusterState,
  cause: 'drain' | 'loss',
  rules: LossRules,
): string[] {
  if (record.lifecycle !== 'ready' || record.replicaWish !== undefined) return [];
  const left = record.replicas.filter(({ nodeId }) =>
    cause === 'drain'
      ? (state.flags.get(nodeId)?.decommission ?? '') !== ''
      : isLost(nodeId, state, rules),
  );
  const hasSource = record.replicas.some(
    (replica) => replica.state === 'in_sync' && state.alive.has(replica.nodeId),
  );
  return hasSource ? left.map(({ nodeId }) => nodeId) : [];
}
