import { monotonicMs } from '../../platform/monotonic.js';
import type { EngineClient } from '../engine-client/engine-client.js';

const refreshMs = 25_000;

/** Bytes that each replica of this node uses. Counting them looks at every file: rarely done. */
export class ReplicaUsage {
  private usage: Readonly<Record<string, number>> = {};
  private countedAtMs = -Infinity;

  constructor(private readonly engine: EngineClient) {}

  /** By volume id, as counted last. */
  latest(): Record<string, number> {
    return { ...this.usage };
  }

  async refresh(): Promise<void> {
    if (monotonicMs() - this.countedAtMs < refreshMs) return;
    const replicas = await this.engine.call('replica.list', {});
    this.usage = Object.fromEntries(
      replicas.map(({ volumeId, usedBytes }) => [volumeId, usedBytes]),
    );
    this.countedAtMs = monotonicMs();
  }
}
