import { PxError } from '../../kernel/errors.js';
import { silentLogger } from '../../platform/logger.js';
import type { ReconcileResult } from '../ports.js';
import { ControllerRunner } from './controller-runner.js';
import { HealthServer } from './health-server.js';
import { OperatorMetrics } from './metrics.js';

describe('ControllerRunner', () => {
  let metrics: OperatorMetrics;
  let runner: ControllerRunner;

  beforeEach(() => {
    metrics = new OperatorMetrics();
    runner = new ControllerRunner(silentLogger, metrics);
  });

  afterEach(() => runner.stop());

  /** Runs `passes` one after the other and resolves when the last has begun. */
  function play(passes: (() => Promise<ReconcileResult>)[]): Promise<string[]> {
    const keys: string[] = [];
    return new Promise((resolve) => {
      runner.manage({
        name: 'test',
        reconcile: async (key) => {
          keys.push(key);
          const pass = passes.shift();
          if (passes.length === 0) setImmediate(() => resolve(keys));
          return pass?.();
        },
      });
      runner.enqueue('a');
      runner.start();
    });
  }

  const counted = async (result: string): Promise<number | undefined> => {
    const [metric] = (await metrics.registry.getMetricsAsJSON()) as {
      values: { value: number; labels: { result?: string } }[];
    }[];
    return metric?.values.find(({ labels }) => labels.result === result)?.value;
  };

  test('a pass that asks for another one gets it', async () => {
    const keys = await play([async () => ({ requeueAfterMs: 5 }), async () => undefined]);
    expect(keys).toEqual(['a', 'a']);
    expect(await counted('done')).toBe(2);
  });

  test('a pass that fails is tried again', async () => {
    const keys = await play([
      () => Promise.reject(new PxError('aborted', 'modified')),
      async () => undefined,
    ]);
    expect(keys).toEqual(['a', 'a']);
    expect([await counted('failed'), await counted('done')]).toEqual([1, 1]);
  });

  test('stopping waits for the pass that runs', async () => {
    let release: () => void = () => undefined;
    let ended = false;
    await play([
      async () => {
        await new Promise<void>((resolve) => (release = resolve));
        ended = true;
        return undefined;
      },
    ]);
    const stopped = runner.stop();
    setImmediate(release);
    await stopped;
    expect(ended).toBe(true);
  });

  test('health, readiness and metrics are served', async () => {
    let unready = ['Pod is not listed yet'];
    metrics.observe({ queues: () => [{ name: 'test', depth: 3 }], isLeader: () => true });
    const health = await HealthServer.start({
      ...{ port: 0, host: '127.0.0.1', metrics },
      ...{ unhealthy: () => [], unready: () => unready },
    });
    const get = async (path: string) => {
      const answer = await fetch(`http://127.0.0.1:${health.port}${path}`);
      return [answer.status, await answer.text()] as const;
    };
    expect(await get('/healthz')).toEqual([200, 'ok\n']);
    expect(await get('/readyz')).toEqual([503, 'Pod is not listed yet\n']);
    unready = [];
    expect(await get('/readyz')).toEqual([200, 'ok\n']);
    const [, text] = await get('/metrics');
    expect(text).toContain('px_operator_queue_depth{controller="test"} 3');
    expect(text).toContain('px_operator_leader 1');
    expect((await get('/else'))[0]).toBe(404);
    await health.close();
  });
});
