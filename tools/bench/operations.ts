import { setTimeout as delay } from 'node:timers/promises';
import type { DevCluster } from '../devcluster/cluster.js';
import { runFio } from '../lib/fio.js';
import { waitFor } from '../lib/wait.js';
import { median } from './statistics.js';
import { onDevice } from './targets.js';
import { cpuUsOf, memoryBytesOf, storagePids } from './usage.js';

/** Figures of the control plane and of rest, each with its unit in its name. */
export type Figures = Readonly<Record<string, number>>;

const miB = 1024 ** 2;
const node = 'n1';

async function timedMs(act: () => Promise<unknown>): Promise<number> {
  const started = performance.now();
  await act();
  return performance.now() - started;
}

/** Create, attach, snapshot, clone, detach, delete: medians of a few. */
export async function operationTimes(cluster: DevCluster, repeats: number): Promise<Figures> {
  const api = cluster.api(node);
  const times: Record<string, number[]> = {};
  const note = async (name: string, act: () => Promise<unknown>): Promise<void> => {
    (times[name] ??= []).push(await timedMs(act));
  };
  for (let index = 0; index < repeats; index++) {
    const name = `ops-${index}`;
    const ref = { id_or_name: name };
    const spec = { size_bytes: String(256 * miB), replicas: 3, fs: 'none' };
    let device = '';
    await note('create 3 replicas, ms', () => api.CreateVolume({ name, spec }));
    await note('attach, ms', async () => {
      device = (await api.AttachVolume({ ...ref, frontend: 'fuse' })).device_path;
    });
    await runFio({ ...onDevice(device), rw: 'write', bs: '1M', size: 64 * miB });
    const snapshot = { volume_id_or_name: name, name: `${name}-snap` };
    await note('snapshot with 64 MiB written, ms', () => api.CreateSnapshot(snapshot));
    await note('detach, ms', () => api.DetachVolume(ref));
    await api.DeleteVolume({ id_or_name: `${name}-snap` });
    await note('delete, ms', () => api.DeleteVolume(ref));
  }
  return Object.fromEntries(Object.entries(times).map(([name, all]) => [name, median(all)]));
}

/** How quickly a replica that missed writes has them. */
export async function resyncRate(cluster: DevCluster, missedBytes: number): Promise<Figures> {
  const api = cluster.api(node);
  const spec = { size_bytes: String(2 * missedBytes), replicas: 3, fs: 'none' };
  const volume = await api.CreateVolume({ name: 'resync', spec });
  const attached = await api.AttachVolume({ id_or_name: volume.id, frontend: 'fuse' });
  const victim = volume.replicas.find((replica) => replica.node_name !== node)?.node_name ?? 'n2';
  await cluster.killNode(victim);
  const taken = performance.now();
  const fill = { rw: 'write', bs: '1M', iodepth: 4, size: missedBytes, end_fsync: 1 };
  await runFio({ ...onDevice(attached.device_path), ...fill });
  await waitFor('replica taken out', 30_000, async () => {
    const { replicas } = await api.GetVolume({ id_or_name: volume.id });
    return replicas.some((replica) => replica.state !== 'in_sync') ? true : undefined;
  });
  const outMs = performance.now() - taken;
  // The resync begins while the node still starts: both are watched at once.
  const started = performance.now();
  const start = cluster.startNode(victim);
  const resyncMs = await watchResync(cluster, volume.id);
  const startedUntilInSyncMs = performance.now() - started;
  await start;
  await api.DetachVolume({ id_or_name: volume.id });
  await api.DeleteVolume({ id_or_name: volume.id });
  return {
    'missed writes, MiB': missedBytes / miB,
    'node killed until written without it, ms': outMs,
    'node started until in sync, ms': startedUntilInSyncMs,
    'of that resync, ms': resyncMs,
    'resync rate, MiB/s': missedBytes / miB / (resyncMs / 1000),
  };
}

/** From the first sight of a resync until every replica is in sync. */
async function watchResync(cluster: DevCluster, volumeId: string): Promise<number> {
  let begun: number | undefined;
  return waitFor(
    'end of the resync',
    300_000,
    async () => {
      const { replicas } = await cluster.api(node).GetVolume({ id_or_name: volumeId });
      const now = performance.now();
      if (replicas.some((replica) => replica.state === 'resync')) begun ??= now;
      if (!replicas.every((replica) => replica.state === 'in_sync')) return undefined;
      return now - (begun ?? now);
    },
    10,
  );
}

/** Many volumes attached on one node: time, memory and CPU at rest. */
export async function manyVolumes(cluster: DevCluster, count: number): Promise<Figures> {
  const api = cluster.api(node);
  const pids = await storagePids(cluster, node);
  const names = Array.from({ length: count }, (_, index) => `many-${index}`);
  const spec = { size_bytes: String(64 * miB), replicas: 1, fs: 'none' };
  const preferred_nodes = [cluster.id(node)];
  const devices: string[] = [];
  let firstBytes = 0;
  const createMs = await timedMs(async () => {
    for (const name of names) await api.CreateVolume({ name, spec, preferred_nodes });
  });
  const attachMs = await timedMs(async () => {
    for (const name of names) {
      const answer = await api.AttachVolume({ id_or_name: name, frontend: 'fuse' });
      devices.push(answer.device_path);
      if (devices.length === 1) firstBytes = await memoryBytesOf(pids);
    }
  });
  const allBytes = await memoryBytesOf(pids);
  await delay(3000);
  const windowSeconds = 10;
  const before = await cpuUsOf(pids);
  await delay(windowSeconds * 1000);
  const idleUs = (await cpuUsOf(pids)) - before;
  const filename = devices.join(':');
  const load = { rw: 'randwrite', bs: '4k', iodepth: 128, time_based: 1, runtime: 5, size: '1%' };
  const result = await runFio({ ...onDevice(filename), ...load, size: 32 * miB * devices.length });
  const detachMs = await timedMs(async () => {
    for (const name of names) await api.DetachVolume({ id_or_name: name });
  });
  for (const name of names) await api.DeleteVolume({ id_or_name: name });
  return {
    'volumes attached on one node': devices.length,
    'create one, ms': createMs / count,
    'attach one, ms': attachMs / count,
    'detach one, ms': detachMs / count,
    'memory for each volume beyond the first, MiB': (allBytes - firstBytes) / miB / (count - 1),
    'idle CPU of the node, % of a core': (idleUs / (windowSeconds * 1e6)) * 100,
    'idle CPU for each volume, % of a core': (idleUs / (windowSeconds * 1e6) / count) * 100,
    'randwrite 4k over all of them, IOPS': result.write.iops,
  };
}

/** What the node's processes cost with nothing attached. */
export async function atRest(cluster: DevCluster): Promise<Figures> {
  const pids = await storagePids(cluster, node);
  const before = await cpuUsOf(pids);
  await delay(10_000);
  const idleUs = (await cpuUsOf(pids)) - before;
  return {
    'processes of a node': pids.length,
    'memory of a node with nothing attached, MiB': (await memoryBytesOf(pids)) / miB,
    'idle CPU with nothing attached, % of a core': idleUs / 1e5,
  };
}
