import { mkdtemp, rm } from 'node:fs/promises';
import path from 'node:path';
import { fileURLToPath } from 'node:url';
import { Command } from 'commander';
import { defaultOptions, downCluster, upCluster } from '../devcluster/cluster.js';
import { compareCreations, ManyVolumes, pageThrough } from './many-volumes.js';
import { percentile } from './percentile.js';

/**
 * How calls of the controller slow down with the number of volumes: the
 * volumes are in etcd as records, everything else is real. The cluster's three
 * nodes share this machine.
 */
const rootDir = path.resolve(path.dirname(fileURLToPath(import.meta.url)), '../../..');

interface Flags {
  readonly volumes: string;
  readonly calls: string;
  readonly turns: string;
}

const flags = new Command('scale')
  .description('The CSI controller with many volumes')
  .option('--volumes <count>', 'volumes to put into etcd', '5000')
  .option('--calls <count>', 'CreateVolume calls to time, with and without them', '300')
  .option('--turns <count>', 'how often they are put and taken away again', '2')
  .parse()
  .opts<Flags>();

const round = (value: number): number => Math.round(value * 10) / 10;

function summary(times: readonly number[]): object {
  const [p50, p99] = [50, 99].map((percent) => round(percentile(times, percent)));
  return { calls: times.length, p50Ms: p50, p99Ms: p99 };
}

async function main(): Promise<void> {
  const dir = await mkdtemp('/tmp/px-scale-');
  const cluster = await upCluster({ ...defaultOptions, dir, rootDir, userSpace: true });
  try {
    const volumes = Number(flags.volumes);
    const options = { volumes, calls: Number(flags.calls), turns: Number(flags.turns) };
    const { without, among } = await compareCreations(cluster, options);
    const many = new ManyVolumes(cluster);
    await many.put(volumes);
    const started = performance.now();
    const listed = await pageThrough(cluster, 500);
    const pageThroughMs = round(performance.now() - started);
    many.close();
    const result = { volumes, without: summary(without), among: summary(among) };
    process.stdout.write(`${JSON.stringify(result)}\n`);
    const listing = { listed: listed.length, pageThroughMs };
    process.stdout.write(`${JSON.stringify(listing)}\n`);
    const more = percentile(among, 99) - percentile(without, 99);
    process.stdout.write(`CreateVolume's p99 among them is ${more.toFixed(1)} ms more\n`);
  } finally {
    cluster.closeClients();
    await downCluster(dir);
    await rm(dir, { recursive: true, force: true });
  }
}

await main();
