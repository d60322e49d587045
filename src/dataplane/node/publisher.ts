import type { NodeContext } from './context.js';
import { ownRecord } from './node-status.js';
import { poolProblems } from './pool-problems.js';

const tickMs = 5_000;
/** Capacities drift with every write; others need them only roughly. */
const longestMs = 30_000;

/** Keeps this node's record in etcd true, and its alerts. */
export class Publisher {
  private timer: NodeJS.Timeout | undefined;
  private lastShape = '';
  private lastPublishedMs = -Infinity;
  private closed = false;
  /** True once the others can know of this node. */
  published = false;

  constructor(private readonly context: NodeContext) {}

  start(): void {
    void this.tick();
  }

  close(): void {
    this.closed = true;
    clearTimeout(this.timer);
  }

  async publishNow(): Promise<void> {
    this.context.pools.refresh();
    const { devicesOptional } = this.context.config.storage;
    this.context.health.set('pools', poolProblems(this.context.pools, devicesOptional));
    await this.context.usage.refresh().catch((error: unknown) => {
      this.context.logger.debug('the replicas could not be counted', { error });
    });
    const record = await ownRecord(this.context);
    const shape = JSON.stringify({
      ...record,
      updatedAt: '',
      replicaUsage: {},
      pools: record.pools.map(({ id, state }) => [id, state]),
      drives: record.drives.map(({ path, state }) => [path, state]),
    });
    const now = performance.now();
    if (shape === this.lastShape && now - this.lastPublishedMs < longestMs) return;
    if (!(await this.context.registry.publish(record))) return;
    this.lastShape = shape;
    this.lastPublishedMs = now;
    this.published = true;
  }

  private async tick(): Promise<void> {
    try {
      await this.publishNow();
    } catch (error) {
      this.context.logger.warn('this node could not be described to the others', { error });
    }
    if (this.closed) return;
    this.timer = setTimeout(() => void this.tick(), this.published ? tickMs : 1_000);
    this.timer.unref();
  }
}
