import { open, rm } from 'node:fs/promises';
import path from 'node:path';
import type { DevCluster } from '../devcluster/cluster.js';
import { listMounts } from '../devcluster/kernel-state.js';
import type { FioOptions } from '../lib/fio.js';
import { runFio } from '../lib/fio.js';
import { run, tryRun } from '../lib/run.js';
import { workingSetBytes } from './workloads.js';

/** Something that fio runs on. */
export interface Target {
  readonly name: string;
  readonly options: FioOptions;
  /** The processes whose CPU time is the storage's. */
  readonly pids: () => Promise<readonly number[]>;
  readonly close: () => Promise<void>;
}

export const rawName = 'raw';

export const onDevice = (device: string): FioOptions => ({
  filename: device,
  ioengine: 'libaio',
  direct: 1,
});

export const onNbd = (uri: string): FioOptions => ({ ioengine: 'nbd', uri });

/** Where the first device of a node's pool is mounted: the file system that replicas lie on. */
export async function poolMount(cluster: DevCluster, node: string): Promise<string> {
  const info = (await cluster.info()).find((one) => one.name === node);
  const devices = new Set(info?.devices ?? []);
  const mount = (await listMounts()).find((one) => devices.has(one.source));
  if (mount === undefined) throw new Error(`the pool of ${node} is not mounted`);
  return mount.mountPoint;
}

/** The yardstick: a loop device with direct I/O over a file of the same XFS. */
export async function rawTarget(cluster: DevCluster, node: string): Promise<Target> {
  const file = path.join(await poolMount(cluster, node), 'bench-raw.img');
  await using handle = await open(file, 'w');
  await handle.truncate(workingSetBytes);
  const args = ['--find', '--show', '--direct-io=on', '--sector-size', '4096', file];
  const device = (await run('losetup', args)).trim();
  return {
    name: rawName,
    options: onDevice(device),
    pids: async () => [],
    close: async () => {
      await tryRun('losetup', ['-d', device]);
      await rm(file, { force: true });
    },
  };
}

export async function pxTarget(
  cluster: DevCluster,
  node: string,
  replicas: number,
  frontend: 'fuse' | 'nbd',
  pids: () => Promise<readonly number[]>,
): Promise<Target> {
  const name = `px ${frontend} x${replicas}`;
  const api = cluster.api(node);
  const volume = await api.CreateVolume({
    name: `bench-${frontend}-${replicas}`,
    // A single copy is local, as the scheduler would place the pod.
    spec: { size_bytes: String(2 * workingSetBytes), replicas, fs: 'none' },
    preferred_nodes: [cluster.id(node)],
  });
  const attached = await api.AttachVolume({ id_or_name: volume.id, frontend });
  return {
    name,
    options: frontend === 'fuse' ? onDevice(attached.device_path) : onNbd(attached.nbd_uri),
    pids,
    close: async () => {
      await api.DetachVolume({ id_or_name: volume.id });
      await api.DeleteVolume({ id_or_name: volume.id });
    },
  };
}

/** Writes the whole working set once: nobody is measured on holes. */
export async function precondition(target: Target): Promise<void> {
  const fill = { rw: 'write', bs: '1M', iodepth: 4, size: workingSetBytes, end_fsync: 1 };
  await runFio({ ...target.options, ...fill });
}
