import { spawn, type ChildProcess } from 'node:child_process';
import { once } from 'node:events';
import { endProcess, processLives, startTimeOf, statOf } from './process-table.js';

const children: ChildProcess[] = [];
afterEach(() => {
  for (const child of children.splice(0)) child.kill('SIGKILL');
});

/** A Node process that runs this, and says so when it does. */
async function run(script: string): Promise<{ pid: number; startTime: string }> {
  const child = spawn(process.execPath, ['-e', script], { stdio: ['ignore', 'pipe', 'inherit'] });
  children.push(child);
  await once(child.stdout, 'data');
  const pid = child.pid ?? 0;
  return { pid, startTime: startTimeOf(pid) };
}

const forever = "process.stdout.write('runs'); setInterval(() => {}, 60_000);";

test('a process that listens to SIGTERM ends by itself, also a frozen one', async () => {
  for (const frozen of [false, true]) {
    const { pid, startTime } = await run(forever);
    expect(processLives(pid, startTime)).toBe(true);
    if (frozen) process.kill(pid, 'SIGSTOP');
    expect(await endProcess(pid, startTime, 20_000)).toBe('ended');
    expect(processLives(pid, startTime)).toBe(false);
  }
});

test('one that does not listen is killed, and has ended on return', async () => {
  const { pid, startTime } = await run(`process.on('SIGTERM', () => {}); ${forever}`);
  expect(await endProcess(pid, startTime, 200)).toBe('killed');
  expect(startTimeOf(pid)).toBe('');
  expect(await endProcess(pid, startTime, 200)).toBe('ended');
});

test('a later process with the same number is left alone', async () => {
  const { pid, startTime } = await run(forever);
  expect(await endProcess(pid, `${Number(startTime) - 1}`, 0)).toBe('ended');
  expect(processLives(pid, startTime)).toBe(true);
});

test('a process lives on when only its first thread has ended', async () => {
  // exit(2), not exit_group(2): Node's other threads go on.
  const { pid, startTime } = await run(`
    const syscall = require('koffi').load('libc.so.6').func('long syscall(long, long)');
    require('node:fs').writeSync(1, 'runs');
    syscall(process.arch === 'arm64' ? 93 : 60, 0);
  `);
  const untilMs = performance.now() + 10_000;
  while (statOf(pid)?.state !== 'Z' && performance.now() < untilMs) {
    await new Promise((resolve) => setImmediate(resolve));
  }
  expect(statOf(pid)?.state).toBe('Z');
  expect(processLives(pid, startTime)).toBe(true);
  expect(await endProcess(pid, startTime, 0)).toBe('killed');
  expect(processLives(pid, startTime)).toBe(false);
});
