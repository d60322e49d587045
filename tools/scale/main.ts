import { randomUUID } from 'node:crypto';
import { mkdtemp, rm } from 'node:fs/promises';
import path from 'node:path';
import { fileURLToPath } from 'node:url';
import { Command } from 'commander';
import { createEtcdKvdb } from '../../src/dataplane/kvdb/etcd-kvdb.js';
import { KvKeys, type KvChange } from '../../src/dataplane/kvdb/port.js';
import type { VolumeRecord } from '../../src/kernel/volume-record.js';
import { defaultOptions, downCluster, upCluster, type DevCluster } from '../devcluster/cluster.js';
import { connectCsi } from '../lib/grpc.js';
import { percentile } from './percentile.js';

/**
 * How calls of the controller slow down with the number of volumes: the
 * volumes are put into etcd as records (their replicas lie on a node that is
 * not there), everything else is real. The cluster's three nodes share this machine.
 */
const rootDir = path.resolve(path.dirname(fileURLToPath(import.meta.url)), '../../..');
const perTransaction = 100;

interface Flags {
  readonly volumes: string;
  readonly calls: string;
}

const flags = new Command('scale')
  .description('The CSI controller with many volumes')
  .option('--volumes <count>', 'volumes to put into etcd', '5000')
  .option('--calls <count>', 'CreateVolume calls to time, each time', '200')
  .parse()
  .opts<Flags>();

interface Times {
  readonly createP50Ms: number;
  readonly createP99Ms: number;
  readonly pageThroughMs: number;
  readonly listed: number;
}

async function main(): Promise<void> {
  const dir = await mkdtemp('/tmp/px-scale-');
  const options = { ...defaultOptions, dir, rootDir, userSpace: true };
  const cluster = await upCluster(options);
  try {
    await warmUp(cluster);
    const without = await measure(cluster, 'before');
    await putVolumes(cluster, Number(flags.volumes));
    await warmUp(cluster);
    const among = await measure(cluster, 'among');
    process.stdout.write(`${JSON.stringify({ volumes: Number(flags.volumes), without, among })}\n`);
    const more = among.createP99Ms - without.createP99Ms;
    process.stdout.write(`CreateVolume's p99 among them is ${more.toFixed(1)} ms more\n`);
  } finally {
    await downCluster(dir);
    await rm(dir, { recursive: true, force: true });
  }
}

async function warmUp(cluster: DevCluster): Promise<void> {
  await createMany(cluster, `warm-${randomUUID()}`, 20);
}

async function createMany(cluster: DevCluster, prefix: string, count: number): Promise<number[]> {
  const csi = connectCsi(rootDir, cluster.node('n1').csiSocket);
  const times: number[] = [];
  const made: string[] = [];
  try {
    for (let index = 0; index < count; index++) {
      const started = performance.now();
      const { volume } = await csi.controller.CreateVolume({
        name: `${prefix}-${index}`,
        capacity_range: { required_bytes: String(2 ** 30) },
        volume_capabilities: [
          { mount: { fs_type: 'ext4' }, access_mode: { mode: 'SINGLE_NODE_WRITER' } },
        ],
        parameters: { repl: '2' },
      });
      times.push(performance.now() - started);
      made.push(volume?.volume_id ?? '');
    }
    for (const volume_id of made) await csi.controller.DeleteVolume({ volume_id });
  } finally {
    csi.close();
  }
  return times;
}

async function measure(cluster: DevCluster, prefix: string): Promise<Times> {
  const times = await createMany(cluster, prefix, Number(flags.calls));
  const csi = connectCsi(rootDir, cluster.node('n1').csiSocket);
  let listed = 0;
  const started = performance.now();
  try {
    let token = '';
    do {
      const page = await csi.controller.ListVolumes({ max_entries: 500, starting_token: token });
      listed += page.entries.length;
      token = page.next_token;
    } while (token !== '');
  } finally {
    csi.close();
  }
  const pageThroughMs = performance.now() - started;
  return {
    createP50Ms: percentile(times, 50),
    createP99Ms: percentile(times, 99),
    pageThroughMs,
    listed,
  };
}

async function putVolumes(cluster: DevCluster, count: number): Promise<void> {
  const keys = new KvKeys(cluster.layout.clusterId);
  const kvdb = createEtcdKvdb({ endpoints: [cluster.layout.etcdUrl], callTimeoutMs: 10_000 });
  try {
    const [pattern] = (await kvdb.list(keys.volumes)).entries;
    const template = pattern === undefined ? await anyRecord(cluster, kvdb, keys) : pattern.value;
    for (let from = 0; from < count; from += perTransaction / 2) {
      const changes: KvChange[] = [];
      for (let index = from; index < Math.min(count, from + perTransaction / 2); index++) {
        const record = copyOf(template, index);
        changes.push(
          { type: 'put', key: keys.volume(record.id), value: JSON.stringify(record) },
          { type: 'put', key: keys.volumeName(record.name), value: record.id },
        );
      }
      const outcome = await kvdb.txn([], changes);
      if (outcome.outcome !== 'ok')
        throw new Error(`etcd did not take the volumes: ${outcome.outcome}`);
    }
  } finally {
    kvdb.close();
  }
}

/** The record of a volume that px made itself, so that the copies are what it writes. */
async function anyRecord(
  cluster: DevCluster,
  kvdb: ReturnType<typeof createEtcdKvdb>,
  keys: KvKeys,
): Promise<string> {
  const api = cluster.api('n1');
  const spec = { size_bytes: String(2 ** 30), replicas: 3, fs: 'ext4' };
  const volume = await api.CreateVolume({ name: 'pattern', spec });
  const stored = await kvdb.get(keys.volume(volume.id));
  if (stored === undefined) throw new Error('the volume has no record');
  return stored.value;
}

function copyOf(template: string, index: number): VolumeRecord {
  const record = JSON.parse(template) as VolumeRecord;
  const replicas = record.replicas.map((replica) => ({
    ...replica,
    id: randomUUID(),
    nodeId: '00000000-0000-4000-8000-000000000000',
    poolId: '00000000-0000-4000-8000-000000000001',
  }));
  return { ...record, id: randomUUID(), name: `scale-${index}`, replicas };
}

await main();
