import { toPxError } from '../../kernel/errors.js';
import type { Logger } from '../../platform/logger.js';
import type { Controller, Enqueue } from '../ports.js';
import type { OperatorMetrics } from './metrics.js';
import { WorkQueue } from './work-queue.js';

/** Passes over different keys at once. */
const workersEach = 2;

/** Gives a controller the keys that its caches woke, one worker a key. */
export class ControllerRunner {
  private readonly queue = new WorkQueue();
  private workers: Promise<void>[] = [];
  private controller: Controller | undefined;

  constructor(
    private readonly logger: Logger,
    private readonly metrics: OperatorMetrics,
  ) {}

  readonly enqueue: Enqueue = (key, delayMs = 0) => this.queue.addAfter(key, delayMs);

  get depth(): number {
    return this.queue.depth;
  }

  get name(): string {
    return this.controller?.name ?? '';
  }

  manage(controller: Controller): void {
    this.controller = controller;
  }

  start(): void {
    const { controller } = this;
    if (controller === undefined || this.workers.length > 0) return;
    this.workers = Array.from({ length: workersEach }, () => this.work(controller));
  }

  /** Passes that run come to their end; nothing new begins. */
  async stop(): Promise<void> {
    this.queue.end();
    await Promise.all(this.workers);
  }

  private async work(controller: Controller): Promise<void> {
    for (;;) {
      const key = await this.queue.take();
      if (key === undefined) return;
      await this.pass(controller, key);
      this.queue.done(key);
    }
  }

  private async pass(controller: Controller, key: string): Promise<void> {
    const finish = this.metrics.startPass(controller.name);
    try {
      const result = await controller.reconcile(key);
      finish('done');
      this.queue.forgetFailures(key);
      if (result?.requeueAfterMs !== undefined) this.queue.addAfter(key, result.requeueAfterMs);
    } catch (thrown) {
      const error = toPxError(thrown);
      finish('failed');
      const retryInMs = Math.round(this.queue.addAfterFailure(key));
      // Another writer was faster: what we read was old, and the next pass reads anew.
      const level = error.code === 'aborted' ? 'info' : 'warn';
      this.logger[level](`${controller.name}: the pass failed`, {
        ...{ of: key, code: error.code, reason: error.message, retryInMs },
        ...(error.code === 'internal' ? { stack: stackOf(error.cause ?? error) } : {}),
      });
    }
  }
}

/** A foreign error is a defect of ours: the log must say where. */
function stackOf(error: unknown): string | undefined {
  return error instanceof Error ? error.stack : undefined;
}
