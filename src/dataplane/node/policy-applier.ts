import type { VolumeRecord } from '../../kernel/volume-record.js';
import { monotonicMs } from '../../platform/monotonic.js';
import type { ClusterState } from '../cluster/cluster-view.js';
import type { PlacementNode } from '../cluster/placement.js';
import { planChanges, type ChangePlan, type RecordStep } from '../policy/plan-changes.js';
import type { ReplicaStep } from '../policy/plan-changes.js';
import type { NodeContext } from './context.js';
import { placementNodes } from './placement-input.js';
import { isFirstAlive } from './reconcile.js';

/** How many volumes are brought to their policies at a time, in the whole cluster. */
const maxAtOnce = 2;
/** One whose change was refused (no place, a node away) leaves its turn to others for this long. */
const restMs = 60_000;
const settleMs = 1_000;
const wishTimeoutMs = 30_000;

/**
 * Brings living volumes to what their storage policies, or a person, asked of
 * them. One node does it, the first that lives; if two think so for a moment,
 * nothing is lost: every step is a compare-and-set or a wish that is the same.
 */
export class PolicyApplier {
  private readonly resting = new Map<string, number>();
  private timer: NodeJS.Timeout | undefined;
  private closed = false;

  constructor(private readonly context: NodeContext) {}

  start(): void {
    this.context.view.onChange(() => this.schedule(settleMs));
    this.schedule(settleMs);
  }

  close(): void {
    this.closed = true;
    clearTimeout(this.timer);
  }

  private schedule(delayMs: number): void {
    if (this.closed || this.timer !== undefined) return;
    this.timer = setTimeout(() => {
      this.pass()
        .catch((error: unknown) => {
          this.context.logger.info('storage policies could not be applied yet', { error });
        })
        .finally(() => {
          this.timer = undefined;
          // Something else wakes the others: whatever ends a change changes a record.
          if (this.resting.size > 0) this.schedule(restMs);
        });
    }, delayMs);
    this.timer.unref();
  }

  private async pass(): Promise<void> {
    const state = this.context.view.cached();
    if (state.readAtMs === 0 || !this.context.kvdb.status().available) return;
    if (!isFirstAlive(state, this.context.self.id)) return this.resting.clear();
    const now = monotonicMs();
    for (const [id, untilMs] of this.resting) if (untilMs <= now) this.resting.delete(id);
    const plan = planPolicyChanges(state, new Set(this.resting.keys()));
    for (const step of plan.records) {
      if (this.closed) return;
      await this.changeRecord(step, state);
    }
    for (const step of plan.replicas) {
      if (this.closed) return;
      await this.begin(step);
    }
  }

  private async changeRecord(step: RecordStep, state: ClusterState): Promise<void> {
    const seen = state.volumes.get(step.volumeId);
    await this.context.volumes.update(step.volumeId, (current) => {
      // Changed since it was planned: the next pass sees what it is now.
      if (seen === undefined || !sameIntent(seen, current)) return undefined;
      return { ...current, spec: step.spec, policyApplied: step.applied };
    });
  }

  /** Through the API, as a person would: the wish in the record is what others follow. */
  private async wish({ volumeId, count, addNodes, removeNodes }: ReplicaStep): Promise<void> {
    const { peers, self } = this.context;
    await peers.api(self.id).UpdateReplicas(
      {
        id_or_name: volumeId,
        count,
        add_nodes: [...addNodes],
        remove_nodes: [...removeNodes],
      },
      { timeoutMs: wishTimeoutMs },
    );
  }

  private async begin(step: ReplicaStep): Promise<void> {
    const { volumeId: volume, count, addNodes, removeNodes } = step;
    try {
      await this.wish(step);
      this.context.logger.info('a volume is brought to its storage policy', {
        ...{ volume, count, addNodes, removeNodes },
      });
    } catch (error) {
      this.resting.set(volume, monotonicMs() + restMs);
      this.context.logger.warn('a volume can not be brought to its storage policy yet', {
        volume,
        error,
      });
    }
  }
}

function sameIntent(a: VolumeRecord, b: VolumeRecord): boolean {
  const intent = ({ spec, lifecycle, policyApplied, replicas }: VolumeRecord): string =>
    JSON.stringify([spec, lifecycle, policyApplied, replicas.map(({ id }) => id)]);
  return intent(a) === intent(b);
}

export function planPolicyChanges(state: ClusterState, resting: ReadonlySet<string>): ChangePlan {
  let nodes: readonly PlacementNode[] | undefined;
  return planChanges({
    ...state,
    placementNodes: () => (nodes ??= placementNodes(state)),
    resting,
    maxAtOnce,
  });
}
