import { readFile } from 'node:fs/promises';
import type { DevCluster } from '../devcluster/cluster.js';
import { clusterProcesses } from '../devcluster/processes.js';

/** CPU time and memory of processes, from /proc. A clock tick is 10 ms on every Linux of today. */
const tickUs = 10_000;

export async function cpuUsOf(pids: readonly number[]): Promise<number> {
  let ticks = 0;
  for (const pid of pids) {
    const stat = await readFile(`/proc/${pid}/stat`, 'latin1').catch(() => '');
    // The command's name is in parentheses and may hold spaces; utime and stime follow it.
    const fields = stat.slice(stat.lastIndexOf(')') + 2).split(' ');
    ticks += Number(fields[11] ?? 0) + Number(fields[12] ?? 0);
  }
  return ticks * tickUs;
}

/** Proportional set size: what the processes would give back if they ended. */
export async function memoryBytesOf(pids: readonly number[]): Promise<number> {
  let bytes = 0;
  for (const pid of pids) {
    const rollup = await readFile(`/proc/${pid}/smaps_rollup`, 'latin1').catch(() => '');
    bytes += Number(/^Pss:\s+(\d+) kB/m.exec(rollup)?.[1] ?? 0) * 1024;
  }
  return bytes;
}

/** The storage's own processes; without `node`, those of all nodes (every copy costs CPU). */
export async function storagePids(cluster: DevCluster, node?: string): Promise<number[]> {
  const processes = await clusterProcesses(cluster.layout);
  return processes
    .filter((p) => (node === undefined ? p.node !== 'hub' : p.node === node))
    .filter((p) => p.command.includes('/main.js'))
    .map((p) => p.pid);
}
