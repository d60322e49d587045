import type { Logger } from '../../platform/logger.js';
import { planSnapshots, type DueSnapshot, type SnapshotPlan } from './plan-snapshots.js';

type Cluster = Parameters<typeof planSnapshots>[0];

export interface SchedulerPorts {
  /** The cluster when this node is the one to take snapshots, else undefined. */
  cluster(): Cluster | undefined;
  /** Takes it, or finds it taken, and notes the slot in the volume's record. */
  take(snapshot: DueSnapshot): Promise<void>;
  remove(snapshotId: string): Promise<void>;
  /** Wall-clock milliseconds. */
  nowMs(): number;
  readonly logger: Logger;
}

/** Changes come in bursts. */
const settleMs = 1_000;
/** Snapshots that could not be taken: their volume may be down for a while. */
const retryMs = 60_000;
/** The clock may be set, and timers hold no more than 24 days. */
const longestMs = 3_600_000;

/**
 * Takes the snapshots that volumes' schedules ask for and deletes those that
 * are too many. Sleeps until the next slot; without schedules it does nothing.
 */
export class SnapshotScheduler {
  private timer: NodeJS.Timeout | undefined;
  private running = false;
  private again = false;
  private closed = false;
  /** What failed stays away until then, so that one volume that is down makes no busy loop. */
  private retryAtMs = 0;

  constructor(private readonly ports: SchedulerPorts) {}

  /** The cluster changed. */
  wake(): void {
    if (this.running) this.again = true;
    else this.arm(settleMs);
  }

  close(): void {
    this.closed = true;
    clearTimeout(this.timer);
  }

  private arm(delayMs: number): void {
    if (this.closed) return;
    clearTimeout(this.timer);
    this.timer = setTimeout(() => void this.run(), delayMs);
    this.timer.unref();
  }

  private async run(): Promise<void> {
    this.running = true;
    this.again = false;
    const cluster = this.ports.cluster();
    const plan = cluster && planSnapshots(cluster, this.ports.nowMs());
    if (plan !== undefined) await this.carryOut(plan);
    this.running = false;
    const nowMs = this.ports.nowMs();
    const wakeMs = Math.min(plan?.nextMs ?? Infinity, this.retryAtMs || Infinity);
    if (this.again) this.arm(settleMs);
    else if (wakeMs < Infinity) this.arm(Math.min(Math.max(wakeMs - nowMs, settleMs), longestMs));
  }

  private async carryOut({ due, expired }: SnapshotPlan): Promise<void> {
    const nowMs = this.ports.nowMs();
    if (nowMs < this.retryAtMs) return;
    this.retryAtMs = 0;
    const failed = (what: string, fields: object) => (error: unknown) => {
      this.retryAtMs = this.ports.nowMs() + retryMs;
      this.ports.logger.warn(what, { ...fields, error });
    };
    for (const snapshot of due) {
      if (this.closed) return;
      const fields = { volume: snapshot.volumeId, name: snapshot.name };
      await this.ports
        .take(snapshot)
        .then(() => this.ports.logger.info('a scheduled snapshot was taken', fields))
        .catch(failed('a scheduled snapshot could not be taken yet', fields));
    }
    for (const snapshotId of expired) {
      if (this.closed) return;
      await this.ports
        .remove(snapshotId)
        .catch(failed('an old scheduled snapshot could not be deleted yet', { snapshotId }));
    }
  }
}
