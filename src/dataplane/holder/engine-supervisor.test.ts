import { silentLogger } from '../../platform/logger.js';
import { EngineSupervisor, identify } from './engine-supervisor.js';
import type { ProcessIdentity } from './engine-supervisor.js';

function supervise(command: readonly string[]): {
  supervisor: EngineSupervisor;
  next: () => Promise<ProcessIdentity | undefined>;
} {
  const seen: (ProcessIdentity | undefined)[] = [];
  const waiting: ((engine: ProcessIdentity | undefined) => void)[] = [];
  const supervisor = new EngineSupervisor(command, silentLogger, {
    engineChanged: (engine) => {
      const waiter = waiting.shift();
      if (waiter === undefined) seen.push(engine);
      else waiter(engine);
    },
  });
  const next = (): Promise<ProcessIdentity | undefined> =>
    seen.length > 0
      ? Promise.resolve(seen.shift())
      : new Promise((resolve) => waiting.push(resolve));
  return { supervisor, next };
}

test('a killed engine is reported as gone before the next one starts', async () => {
  const { supervisor, next } = supervise(['sleep', '1000']);
  supervisor.keepAlive();
  const first = await next();
  expect(identify(first?.pid ?? 0)).toEqual(first);
  process.kill(first?.pid ?? 0, 'SIGKILL');
  expect(await next()).toBeUndefined();
  const second = await next();
  expect(second?.pid).not.toBe(first?.pid);
  await supervisor.restart(['sleep', '2000']);
  expect(await next()).toBeUndefined();
  expect(await next()).toMatchObject({ pid: expect.any(Number) as number });
  expect(supervisor.starts).toBe(3);
  await supervisor.stop();
  expect(await next()).toBeUndefined();
  expect(supervisor.engine).toBeUndefined();
});

test('an engine that dies at once is started again at once, then less and less often', async () => {
  const { supervisor, next } = supervise(['false']);
  const began = performance.now();
  supervisor.keepAlive();
  for (let life = 0; life < 4; life++) {
    expect(await next()).toBeDefined();
    expect(await next()).toBeUndefined();
  }
  // Two lives in a row without a pause, then 100 and 200 ms.
  expect(performance.now() - began).toBeGreaterThanOrEqual(300);
  expect(supervisor.starts).toBe(4);
  await supervisor.stop();
});

test('adopting: a living process, one with another start time, one that is gone', async () => {
  const { supervisor: starter, next: started } = supervise(['sleep', '1000']);
  starter.keepAlive();
  const engine = await started();
  if (engine === undefined) throw new Error('not started');
  const { supervisor, next } = supervise(['sleep', '1000']);
  expect(supervisor.adopt({ ...engine, startTicks: engine.startTicks - 1 })).toBe(false);
  expect(supervisor.adopt(engine)).toBe(true);
  expect(await next()).toEqual(engine);
  await starter.stop();
  expect(await next()).toBeUndefined();
  // Nobody serves the next engine yet.
  expect(supervisor.starts).toBe(0);
  supervisor.keepAlive();
  expect(await next()).toBeDefined();
  expect(supervisor.starts).toBe(1);
  await supervisor.stop();
  expect(supervisor.adopt(engine)).toBe(false);
});
