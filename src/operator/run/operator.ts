import { setTimeout as sleep } from 'node:timers/promises';
import { PxError } from '../../kernel/errors.js';
import type { Logger } from '../../platform/logger.js';
import type { CacheRegistry } from '../kube/cache-registry.js';
import type { KubeEventRecorder } from '../kube/event-recorder.js';
import type { LeaderElection } from '../kube/leader-election.js';
import type { OperatorContext, SetUpController } from '../ports.js';
import type { PxConnections } from '../px/px-connections.js';
import { ControllerRunner } from './controller-runner.js';
import { HealthServer } from './health-server.js';
import type { OperatorMetrics } from './metrics.js';

export interface OperatorParts {
  readonly context: Omit<OperatorContext, 'px' | 'events' | 'gauges' | 'cache'>;
  readonly caches: CacheRegistry;
  readonly px: PxConnections;
  readonly events: KubeEventRecorder;
  readonly metrics: OperatorMetrics;
  /** Absent: this is the only operator. */
  readonly election?: LeaderElection;
  readonly controllers: readonly SetUpController[];
  readonly healthPort: number;
}

/** Calls at work end within their own bounds; Kubernetes gives a container 30 s. */
const graceMs = 20_000;
const impatienceMs = 15_000;

/**
 * The caches follow the API server from the start, so that an operator that
 * waits for the lead knows all when it gets it; passes begin with the lead.
 */
export class Operator {
  private readonly runners: readonly ControllerRunner[];
  private readonly logger: Logger;
  private readonly ending = new AbortController();
  private health: HealthServer | undefined;

  constructor(private readonly parts: OperatorParts) {
    const { caches, context, px, events, metrics } = parts;
    this.logger = context.logger;
    const whole: OperatorContext = {
      ...context,
      px,
      events,
      gauges: metrics,
      cache: (resource, options) => caches.cache(resource, options),
    };
    this.runners = parts.controllers.map((setUp) => {
      const runner = new ControllerRunner(context.logger, metrics);
      runner.manage(setUp(whole, runner.enqueue));
      return runner;
    });
    metrics.observe({ queues: () => this.runners, isLeader: () => this.isLeader });
  }

  get healthPort(): number {
    return this.health?.port ?? 0;
  }

  get isLeader(): boolean {
    return this.parts.election?.isLeader ?? true;
  }

  /** Runs until `stop`; fails when the lead is lost, as another may act from then on. */
  async run(): Promise<void> {
    const { caches, election, metrics, healthPort } = this.parts;
    this.health = await HealthServer.start({
      port: healthPort,
      metrics,
      unhealthy: () => [],
      unready: () => caches.unsynced().map((kind) => `${kind} is not listed yet`),
    });
    caches.start();
    await this.waitSynced();
    if (this.isEnding) return;
    if (election !== undefined && !(await election.acquire())) return;
    this.logger.info('acts from now on', { controllers: this.runners.map(({ name }) => name) });
    for (const runner of this.runners) runner.start();
    if (election === undefined) await this.untilStopped();
    else if (await election.hold()) throw new PxError('fenced', 'another operator may act now');
  }

  /** What runs comes to its end, then others may take over. */
  async stop(): Promise<void> {
    if (this.isEnding) return;
    this.ending.abort();
    const { caches, election, events, px } = this.parts;
    const done = Promise.all(this.runners.map((runner) => runner.stop()));
    await Promise.race([done, sleep(graceMs, undefined, { ref: false })]);
    await events.flush();
    await election?.stop();
    await caches.stop();
    px.close();
    await this.health?.close();
  }

  private async waitSynced(): Promise<void> {
    const { caches } = this.parts;
    const impatience = setInterval(() => {
      this.logger.warn('waits for the API server', { notListed: caches.unsynced() });
    }, impatienceMs);
    try {
      await Promise.race([caches.synced(), this.untilStopped()]);
    } finally {
      clearInterval(impatience);
    }
  }

  private untilStopped(): Promise<void> {
    const { signal } = this.ending;
    if (signal.aborted) return Promise.resolve();
    return new Promise((resolve) => signal.addEventListener('abort', () => resolve()));
  }

  private get isEnding(): boolean {
    return this.ending.signal.aborted;
  }
}
