import { chmod, mkdtemp } from 'node:fs/promises';
import path from 'node:path';
import { fileURLToPath } from 'node:url';
import { clusterLeftovers, downCluster } from '../devcluster/cluster.js';
import { findDatabase } from '../lib/database.js';
import { inspectMachine } from '../lib/machine.js';
import { FullDemo } from './full-demo.js';
import { Progress } from './progress.js';
import { UserSpaceDemo } from './user-space-demo.js';

/** `npm run demo`: `--keep` leaves the cluster running, `--user-space` needs no root. */
const rootDir = path.resolve(path.dirname(fileURLToPath(import.meta.url)), '../../..');
const keep = process.argv.includes('--keep');

function say(text: string): void {
  process.stdout.write(`${text}\n`);
}

function howToPlay(dir: string): string {
  const devcluster = `npm run -s devcluster --`;
  const pxctl = `node dist/src/pxctl/main.js --endpoint unix://${dir}/n2/run/px-node.sock`;
  return [
    'The cluster keeps running:',
    `  ${devcluster} status --dir ${dir}`,
    `  ${pxctl} status`,
    `  ${pxctl} volume list`,
    `  ${pxctl} volume inspect pvc-demo       (and check, snapshot, clone; host attach)`,
    `  ${devcluster} kill n3 --dir ${dir}      (and start, stop, partition, heal)`,
    `  ${devcluster} down --dir ${dir}         ends it and leaves nothing behind`,
  ].join('\n');
}

async function takeDown(dir: string): Promise<void> {
  await downCluster(dir);
  const left = await clusterLeftovers(dir);
  if (left.length > 0) throw new Error(`left behind: ${left.join(', ')}`);
}

async function demonstrate(dir: string, progress: Progress): Promise<void> {
  const machine = await inspectMachine();
  const database = await findDatabase();
  const missing = [...machine.missing, ...(database === undefined ? ['a database'] : [])];
  if (missing.length === 0 && database !== undefined && !process.argv.includes('--user-space')) {
    const demo = new FullDemo(progress, database);
    await demo.run(dir, rootDir);
    if (keep) say(howToPlay(dir));
    return;
  }
  if (missing.length > 0) {
    say(`Not here: ${missing.join(', ')}. What is left is shown in user space.`);
  }
  await new UserSpaceDemo(progress).run(dir, rootDir);
  if (keep) say(howToPlay(dir));
}

function asError(thrown: unknown): Error {
  return thrown instanceof Error ? thrown : new Error(String(thrown));
}

async function main(): Promise<void> {
  const dir = await mkdtemp('/tmp/px-demo-');
  // The database runs as a user of its own, and its files are below.
  await chmod(dir, 0o755);
  const progress = new Progress((text) => process.stdout.write(text));
  process.once('SIGINT', () => {
    // Ctrl-C ends the demonstration, and what it started with it.
    void takeDown(dir).finally(() => process.exit(130));
  });
  let failure: Error | undefined;
  try {
    await demonstrate(dir, progress);
  } catch (error) {
    failure = asError(error);
  }
  if (!keep) {
    try {
      await progress.step('taken down, nothing left', async () => {
        await takeDown(dir);
        return 'no process, mount, loop device or namespace';
      });
    } catch (error) {
      failure ??= asError(error);
    }
  }
  say(`\n${progress.table()}`);
  if (failure !== undefined) {
    say(`\nThe demonstration failed: ${failure.message}`);
    if (keep) say(`Logs are below ${dir}`);
    process.exitCode = 1;
  }
}

await main();
