import { spawn } from 'node:child_process';
import { mkdir, mkdtemp, readFile, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { fileURLToPath } from 'node:url';
import { findCommand, tryRun } from '../lib/run.js';
import { removeWhatIsLeft } from './remove-what-is-left.js';
import {
  closingLine,
  fromClosingLine,
  fromJest,
  fromSimulation,
  sum,
  type SuiteResult,
} from './suites.js';

/**
 * `npm test`: every suite, one after the other (they share two cores and the
 * kernel's loop devices), and one line at the end. `--only unit,sim` picks.
 */
const rootDir = path.resolve(path.dirname(fileURLToPath(import.meta.url)), '../../..');

interface Suite {
  readonly name: string;
  readonly timeoutMs: number;
  readonly command: (reportFile: string) => readonly string[];
  /** Why the suite can't run on this machine. */
  readonly missing?: () => Promise<string | undefined>;
}

async function goMissing(): Promise<string | undefined> {
  const found = (await findCommand('go')) ?? (await findCommand('/usr/local/go/bin/go'));
  return found === undefined ? 'csi-sanity is built with Go, and there is none' : undefined;
}

const kubernetes = ['node', 'dist/test/kubernetes/main.js'];

async function kubernetesMissing(): Promise<string | undefined> {
  const [command = '', ...args] = [...kubernetes, 'missing'];
  const told = await tryRun(command, args, { cwd: rootDir, timeoutMs: 3 * minuteMs });
  const text = told.code === 0 ? told.stdout.trim() : told.stderr.trim();
  return text === '' ? undefined : text;
}

const minuteMs = 60_000;
/** A suite that has used up its time still takes down what it has started. */
const graceMs = 2 * minuteMs;
const jest = (project: string, extra: readonly string[]) => (reportFile: string) => [
  ...['npx', 'jest', '--selectProjects', project, '--forceExit', ...extra],
  ...['--json', `--outputFile=${reportFile}`],
];

const suites: readonly Suite[] = [
  { name: 'unit', timeoutMs: 15 * minuteMs, command: jest('unit', []) },
  { name: 'sim', timeoutMs: 20 * minuteMs, command: () => ['npm', 'run', '-s', 'test:sim'] },
  {
    name: 'system',
    timeoutMs: 25 * minuteMs,
    // Most of a test is waiting for leases and resyncs: three at once take 11 minutes on two
    // cores, one after the other takes 30.
    command: jest('system', ['--maxWorkers=3']),
  },
  { name: 'scale', timeoutMs: 10 * minuteMs, command: jest('scale', ['--runInBand']) },
  {
    name: 'sanity',
    timeoutMs: 15 * minuteMs,
    command: () => ['npm', 'run', '-s', 'test:sanity'],
    missing: goMissing,
  },
  {
    name: 'kubernetes',
    // A quarter of it is for building Kubernetes, the first time.
    timeoutMs: 70 * minuteMs,
    command: () => [...kubernetes, 'test'],
    missing: kubernetesMissing,
  },
];

/** Runs a command with its output shown as it comes; returns what it said and how it ended. */
function runShown(
  command: readonly string[],
  timeoutMs: number,
  tempDir: string,
): Promise<{ code: number; output: string }> {
  return new Promise((resolve) => {
    const [file = '', ...args] = command;
    // A group of its own: npx and npm do not hand a signal on to what they started.
    const child = spawn(file, args, {
      cwd: rootDir,
      env: { ...process.env, TMPDIR: tempDir },
      stdio: ['ignore', 'pipe', 'pipe'],
      detached: true,
    });
    let output = '';
    const send = (signal: NodeJS.Signals): void => {
      if (child.pid !== undefined) process.kill(-child.pid, signal);
    };
    let killer: NodeJS.Timeout | undefined;
    const timer = setTimeout(() => {
      const told = `\nended after ${timeoutMs / minuteMs} minutes\n`;
      output += told;
      process.stdout.write(told);
      send('SIGINT');
      killer = setTimeout(() => send('SIGKILL'), graceMs);
    }, timeoutMs);
    const interrupted = (): void => {
      send('SIGINT');
      process.exitCode = 130;
    };
    process.once('SIGINT', interrupted);
    for (const stream of [child.stdout, child.stderr]) {
      stream.setEncoding('utf8').on('data', (text: string) => {
        output += text;
        // jest's own report on standard output is read from the file instead.
        if (!text.startsWith('{"numFailed')) process.stdout.write(text);
      });
    }
    child.on('error', (error) => {
      output += error.message;
    });
    child.on('close', (code) => {
      clearTimeout(timer);
      clearTimeout(killer);
      process.off('SIGINT', interrupted);
      resolve({ code: code ?? -1, output });
    });
  });
}

async function runSuite(suite: Suite, dir: string): Promise<SuiteResult> {
  process.stdout.write(`\n=== ${suite.name}\n`);
  const missing = await suite.missing?.();
  if (missing !== undefined) {
    const counts = { passed: 0, failed: 0, skipped: 1 };
    return { name: suite.name, counts, seconds: 0, remarks: [`skipped: ${missing}`] };
  }
  const started = performance.now();
  const reportFile = path.join(dir, `${suite.name}.json`);
  // A directory of its own, so that what a suite leaves is known to be its own.
  const tempDir = path.join(dir, suite.name);
  await mkdir(tempDir);
  const ended = await runShown(suite.command(reportFile), suite.timeoutMs, tempDir);
  const left = await removeWhatIsLeft(tempDir);
  const seconds = (performance.now() - started) / 1000;
  const report = await readFile(reportFile, 'utf8').catch(() => undefined);
  const read =
    report === undefined
      ? { counts: fromSimulation(ended.output) ?? fromClosingLine(ended.output), remarks: [] }
      : fromJest(report);
  const counts = read.counts ?? { passed: 0, failed: 0, skipped: 0 };
  const remarks = [...read.remarks];
  // Neither a suite that fails without a failed test counts as passed, nor one that leaves
  // anything behind.
  if (ended.code !== 0) remarks.push(`failed: ${suite.name} ended with ${ended.code}`);
  if (left.length > 0) remarks.push(`failed: left behind and now removed: ${left.join(', ')}`);
  const failed = counts.failed === 0 && (ended.code !== 0 || left.length > 0) ? 1 : counts.failed;
  return { name: suite.name, counts: { ...counts, failed }, seconds, remarks };
}

async function main(): Promise<void> {
  const onlyAt = process.argv.indexOf('--only');
  const only = onlyAt < 0 ? undefined : (process.argv[onlyAt + 1] ?? '').split(',');
  const dir = await mkdtemp(path.join(tmpdir(), 'px-test-'));
  const results: SuiteResult[] = [];
  try {
    for (const suite of suites) {
      if (only === undefined || only.includes(suite.name)) results.push(await runSuite(suite, dir));
    }
  } finally {
    await rm(dir, { recursive: true, force: true });
  }
  process.stdout.write('\n');
  for (const { name, counts, seconds, remarks } of results) {
    const told = closingLine(counts).replace('Tests: ', '');
    process.stdout.write(`${name.padEnd(10)} ${told} (${seconds.toFixed(0)} s)\n`);
    for (const remark of remarks) process.stdout.write(`           ${remark}\n`);
  }
  const total = sum(results);
  process.stdout.write(`${closingLine(total)}\n`);
  if (total.failed > 0 || total.passed === 0) process.exitCode = 1;
}

await main();
