import { spawn } from 'node:child_process';
import { closeSync, mkdirSync, openSync } from 'node:fs';
import { readdir, readFile, readlink } from 'node:fs/promises';
import path from 'node:path';
import { endProcess, startTimeOf } from '../../../src/dataplane/sys/process-table.js';
import { waitFor } from '../../../tools/lib/wait.js';
import { nodeVariable, roleVariable, tagVariable, type ClusterLayout } from './layout.js';
import { namespaceInodes } from './network.js';

/** A living process of the cluster, as the kernel lists it. */
export interface ClusterProcess {
  readonly pid: number;
  /** `hub` or the node's name. */
  readonly node: string;
  /** What it was started as: `init`, `etcd`, `kube-apiserver` …; children inherit it. */
  readonly role: string;
  /** PID 1 of a namespace just below ours: a node's init. */
  readonly isInit: boolean;
}

async function readTags(pid: string): Promise<Map<string, string>> {
  const text = await readFile(`/proc/${pid}/environ`, 'latin1').catch(() => '');
  const tags = new Map<string, string>();
  for (const entry of text.split('\0')) {
    const equals = entry.indexOf('=');
    if (entry.startsWith('PXK_') && equals > 0) {
      tags.set(entry.slice(0, equals), entry.slice(equals + 1));
    }
  }
  return tags;
}

/** The process' numbers, from the reader's PID namespace to its own; [] for a zombie. */
async function readPids(pid: string): Promise<number[]> {
  const status = await readFile(`/proc/${pid}/status`, 'utf8').catch(() => '');
  if (/^State:\s+[ZX]/m.test(status)) return [];
  const line = /^NSpid:\s+(.*)$/m.exec(status)?.[1];
  return line === undefined ? [] : line.split(/\s+/).map(Number);
}

/**
 * The cluster's living processes: those that carry its tag in their
 * environment, and those in one of its network namespaces. Pods have neither;
 * they are in the PID namespace of their node and end with its init.
 */
export async function listProcesses(cluster: ClusterLayout): Promise<ClusterProcess[]> {
  const namespaces = await namespaceInodes(cluster);
  const found: ClusterProcess[] = [];
  for (const pid of await readdir('/proc')) {
    if (!/^\d+$/.test(pid) || Number(pid) === process.pid) continue;
    const net = await readlink(`/proc/${pid}/ns/net`).catch(() => '');
    const tags = await readTags(pid);
    if (tags.get(tagVariable) !== cluster.tag && !namespaces.has(net)) continue;
    const pids = await readPids(pid);
    if (pids.length === 0) continue;
    found.push({
      pid: Number(pid),
      node: tags.get(nodeVariable) ?? namespaces.get(net) ?? '',
      role: tags.get(roleVariable) ?? '',
      isInit: pids.length === 2 && pids[1] === 1,
    });
  }
  return found;
}

export interface SpawnRequest {
  readonly cluster: ClusterLayout;
  readonly node: string;
  readonly role: string;
  readonly namespace: string;
  readonly command: readonly string[];
  readonly logFile: string;
  readonly env?: Readonly<Record<string, string>>;
}

/**
 * Starts a process that outlives this one. `nsenter --net` and not `ip netns
 * exec`: the latter makes a mount namespace too, with another /sys. On return
 * it can be seen as the cluster's, or has ended already: in the middle of an
 * exec the kernel shows no environment, and before its first one it is in no
 * namespace of the cluster either.
 */
export async function spawnDetached(request: SpawnRequest): Promise<void> {
  mkdirSync(path.dirname(request.logFile), { recursive: true });
  const log = openSync(request.logFile, 'a');
  const args = [`--net=/run/netns/${request.namespace}`, '--', ...request.command];
  const child = spawn('nsenter', args, {
    detached: true,
    stdio: ['ignore', log, log],
    cwd: '/',
    env: {
      PATH: process.env.PATH,
      ...request.env,
      [tagVariable]: request.cluster.tag,
      [nodeVariable]: request.node,
      [roleVariable]: request.role,
    },
  });
  closeSync(log);
  child.unref();
  child.on('error', () => undefined);
  const { pid } = child;
  if (pid === undefined) throw new Error(`${request.role} could not be started`);
  await waitFor(
    `process of ${request.role}`,
    10_000,
    async () => {
      const ended = child.exitCode !== null || child.signalCode !== null;
      return ended || (await readTags(String(pid))).size > 0 ? true : undefined;
    },
    5,
  );
}

export function signal(pid: number, name: NodeJS.Signals): void {
  try {
    process.kill(pid, name);
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== 'ESRCH') throw error;
  }
}

/** kill -9 of everything that `select` picks, again until all of it has ended. */
export async function killAll(
  cluster: ClusterLayout,
  select: (process: ClusterProcess) => boolean,
): Promise<void> {
  await waitFor(
    'end of the killed processes',
    60_000,
    async () => {
      const targets = (await listProcesses(cluster)).filter(select);
      if (targets.length === 0) return true;
      await Promise.all(targets.map(({ pid }) => endProcess(pid, startTimeOf(pid), 0)));
      return undefined;
    },
    50,
  );
}

/** The machine's number of a node's PID 1, or undefined while the node is off. */
export async function initPid(cluster: ClusterLayout, node: string): Promise<number | undefined> {
  const all = await listProcesses(cluster);
  return all.find((p) => p.node === node && p.isInit)?.pid;
}
