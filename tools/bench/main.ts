import { mkdtemp, readFile, writeFile } from 'node:fs/promises';
import path from 'node:path';
import { fileURLToPath } from 'node:url';
import { Command } from 'commander';
import { downCluster, upCluster, type DevCluster } from '../devcluster/cluster.js';
import { runFio } from '../lib/fio.js';
import { inspectMachine } from '../lib/machine.js';
import { atRest, manyVolumes, operationTimes, resyncRate, type Figures } from './operations.js';
import { findPeers, quorumTarget } from './peers.js';
import { describeMachine, markdown, type Report } from './report.js';
import { figureOf, type Sample } from './statistics.js';
import { precondition, pxTarget, rawTarget, type Target } from './targets.js';
import { cpuUsOf, storagePids } from './usage.js';
import { workingSetBytes, workloads, type Workload } from './workloads.js';

const rootDir = path.resolve(path.dirname(fileURLToPath(import.meta.url)), '../../..');
const node = 'n1';

interface Flags {
  readonly json?: string;
  readonly markdown?: string;
  readonly quick?: boolean;
  readonly peers?: boolean;
  readonly volumes: string;
  readonly rounds?: string;
  readonly seconds?: string;
}

function say(text: string): void {
  process.stderr.write(`bench: ${text}\n`);
}

async function measure(
  workload: Workload,
  target: Target,
  round: number,
  seconds: number,
): Promise<Sample> {
  const pids = await target.pids();
  const before = await cpuUsOf(pids);
  const result = await runFio({
    ...target.options,
    ...workload.options,
    size: workingSetBytes,
    time_based: 1,
    runtime: seconds,
    ramp_time: 0.5,
    randrepeat: 0,
  });
  const cpuUs = (await cpuUsOf(pids)) - before;
  const side = workload.figure.startsWith('read') ? result.read : result.write;
  // The ramp's I/O is not in the count of I/O, and its CPU time is in the sum: scaled by time.
  const share = seconds / (seconds + 0.5);
  const ios = (result.read.iops + result.write.iops) * (result.runtimeMs / 1000);
  return {
    workload: workload.name,
    target: target.name,
    round,
    value: figureOf(workload, result),
    meanLatencyUs: side.meanLatencyUs + result.syncMeanUs,
    p50Us: side.percentilesUs['50.000000'] ?? Number.NaN,
    p99Us: side.percentilesUs['99.000000'] ?? Number.NaN,
    cpuUsPerIo: pids.length === 0 ? Number.NaN : (cpuUs * share) / ios,
  };
}

async function makeTargets(cluster: DevCluster, flags: Flags): Promise<Target[]> {
  const pids = (): Promise<number[]> => storagePids(cluster);
  const targets = [await rawTarget(cluster, node)];
  for (const replicas of [1, 2, 3]) {
    targets.push(await pxTarget(cluster, node, replicas, 'fuse', pids));
  }
  for (const replicas of flags.quick === true ? [2] : [1, 2, 3]) {
    targets.push(await pxTarget(cluster, node, replicas, 'nbd', pids));
  }
  if (flags.peers === true && (await findPeers()).quorum) {
    for (const copies of [1, 2, 3]) targets.push(await quorumTarget(cluster, copies));
  }
  return targets;
}

async function figures(cluster: DevCluster, flags: Flags): Promise<Record<string, Figures>> {
  const quick = flags.quick === true;
  const all: Record<string, Figures> = {};
  say('operations');
  all['Operations'] = await operationTimes(cluster, quick ? 3 : 9);
  say('resync');
  all['Resync'] = await resyncRate(cluster, (quick ? 128 : 512) * 1024 ** 2);
  const volumes = Number(flags.volumes);
  if (volumes > 1) {
    say(`${volumes} volumes on one node`);
    all['Many volumes'] = await manyVolumes(cluster, volumes);
  }
  return all;
}

async function bench(flags: Flags): Promise<void> {
  const { missing } = await inspectMachine();
  if (missing.length > 0) throw new Error(`this machine lacks ${missing.join(', ')}`);
  const rounds = Number(flags.rounds ?? (flags.quick === true ? 1 : 3));
  const seconds = Number(flags.seconds ?? (flags.quick === true ? 2 : 4));
  const dir = await mkdtemp('/tmp/px-bench-');
  process.once('SIGINT', () => void downCluster(dir).finally(() => process.exit(130)));
  const samples: Sample[] = [];
  try {
    const cluster = await upCluster({ dir, rootDir, devices: 1, deviceSizeBytes: 16 * 1024 ** 3 });
    const rest = await atRest(cluster);
    const targets = await makeTargets(cluster, flags);
    try {
      for (const target of targets) await precondition(target);
      for (let round = 1; round <= rounds; round++) {
        for (const workload of workloads) {
          say(`round ${round} of ${rounds}: ${workload.name}`);
          for (const target of targets) {
            samples.push(await measure(workload, target, round, seconds));
          }
        }
      }
    } finally {
      for (const target of targets) await target.close().catch((e: Error) => say(e.message));
    }
    const report: Report = {
      machine: await describeMachine(),
      date: new Date().toISOString().slice(0, 10),
      rounds,
      secondsEach: seconds,
      samples,
      figures: { 'At rest': rest, ...(await figures(cluster, flags)) },
      remarks: flags.peers === true ? (await findPeers()).remarks : [],
    };
    await write(report, flags);
  } finally {
    await downCluster(dir);
  }
}

const startMark = '<!-- bench: what follows is written by npm run bench -- --markdown -->';

async function write(report: Report, flags: Flags): Promise<void> {
  const text = markdown(report, workloads);
  process.stdout.write(`${text}\n`);
  if (flags.json !== undefined) await writeFile(flags.json, JSON.stringify(report, null, 2));
  if (flags.markdown !== undefined) {
    const old = await readFile(flags.markdown, 'utf8').catch(() => '');
    const [before = ''] = old.split(startMark);
    await writeFile(flags.markdown, `${before}${startMark}\n\n${text}\n`);
  }
}

const program = new Command('bench')
  .description('px against a raw loop device over the same XFS, and against its peers')
  .option('--json <file>', 'write every sample and figure')
  .option('--markdown <file>', 'replace the tables of a Markdown file')
  .option('--quick', 'one short round')
  .option('--peers', 'also QEMU quorum over NBD')
  .option('--rounds <n>', 'how often everything is measured (3; quick: 1)')
  .option('--seconds <n>', 'how long each run lasts (4; quick: 2)')
  .option('--volumes <n>', 'how many volumes to attach on one node', '200')
  .action(bench);

program.parseAsync().catch((error: unknown) => {
  say(error instanceof Error ? error.message : String(error));
  process.exitCode = 1;
});
