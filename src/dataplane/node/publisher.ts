import type { PoolSet } from '../pool/contracts.js';
import type { NodeContext } from './context.js';
import type { HealthProblem } from './node-health.js';
import { ownRecord } from './node-status.js';

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
    this.context.health.set('pools', poolProblems(this.context.pools));
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

function poolProblems({ pools, drives }: PoolSet): HealthProblem[] {
  const problems: HealthProblem[] = [];
  if (drives.length > 0 && pools.every((pool) => pool.state === 'offline')) {
    problems.push({
      severity: 'critical',
      resource: 'pools',
      message: 'no drive of this node can be used: it holds no replicas',
    });
  }
  for (const pool of pools) {
    if (pool.state === 'online') continue;
    problems.push({
      severity: 'warning',
      resource: `pool/${pool.id}`,
      message:
        pool.state === 'full'
          ? `pool ${pool.id} is full: new data is refused, overwrites go on`
          : `pool ${pool.id} is offline`,
    });
  }
  for (const drive of drives) {
    if (drive.state === 'online') continue;
    problems.push({
      severity: 'warning',
      resource: `drive/${drive.path}`,
      message: `drive ${drive.path} is ${drive.state}: ${drive.reason}`,
    });
  }
  return problems;
}
