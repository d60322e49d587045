import { spawn } from 'node:child_process';
import { openSync, closeSync } from 'node:fs';
import { endProcess, startTimeOf } from '../../src/dataplane/sys/process-table.js';
import { waitFor } from '../lib/wait.js';
import { listProcesses, type ClusterProcess } from './kernel-state.js';
import { nodeVariable, tagVariable, type ClusterLayout } from './layout.js';
import { namespaceInodes } from './network.js';

export type ProcessKind = 'px-node' | 'holder' | 'engine' | 'px-csi' | 'etcd' | 'other';

/** Tells a process by its command line: the programs are started as `node …/main.js`. */
export function kindOf(command: string): ProcessKind {
  if (/dataplane\/node\/main\.js/.test(command)) return 'px-node';
  if (/dataplane\/holder\/main\.js/.test(command)) return 'holder';
  if (/dataplane\/engine\/main\.js/.test(command)) return 'engine';
  if (/csi\/main\.js/.test(command)) return 'px-csi';
  if (/(^|\/)etcd(\s|$)/.test(command)) return 'etcd';
  return 'other';
}

export interface SpawnRequest {
  readonly cluster: ClusterLayout;
  readonly nodeName: string;
  /** '' for the machine's own namespace. */
  readonly namespace: string;
  readonly command: string;
  readonly args: readonly string[];
  readonly logFile: string;
}

/**
 * Starts a process that outlives this one. `nsenter --net` and not `ip netns
 * exec`: the latter also makes a mount namespace, in which the node's mounts
 * would be hidden from the tests and from `down`.
 */
export function spawnDetached(request: SpawnRequest): number {
  const log = openSync(request.logFile, 'a');
  const wrapped =
    request.namespace === ''
      ? [request.command, ...request.args]
      : [
          'nsenter',
          `--net=/run/netns/${request.namespace}`,
          '--',
          request.command,
          ...request.args,
        ];
  const [file = '', ...args] = wrapped;
  const child = spawn(file, args, {
    detached: true,
    stdio: ['ignore', log, log],
    cwd: '/',
    env: {
      ...process.env,
      [tagVariable]: request.cluster.tag,
      [nodeVariable]: request.nodeName,
    },
  });
  closeSync(log);
  child.unref();
  child.on('error', () => undefined);
  if (child.pid === undefined) throw new Error(`${file} could not be started`);
  return child.pid;
}

export async function clusterProcesses(cluster: ClusterLayout): Promise<ClusterProcess[]> {
  return listProcesses(cluster.tag, await namespaceInodes(cluster));
}

function signal(pid: number, name: NodeJS.Signals): void {
  try {
    process.kill(pid, name);
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== 'ESRCH') throw error;
  }
}

/**
 * kill -9 of everything that `select` picks, again until nothing is left: the
 * programs restart one another, and a child may be born between two looks.
 * Stopping all of them first makes it one moment for an onlooker.
 */
export async function killAll(
  cluster: ClusterLayout,
  select: (process: ClusterProcess) => boolean,
): Promise<number[]> {
  const killed = new Set<number>();
  await waitFor(
    'end of the killed processes',
    20_000,
    async () => {
      const targets = (await clusterProcesses(cluster)).filter(select);
      if (targets.length === 0) return true;
      for (const { pid } of targets) signal(pid, 'SIGSTOP');
      const ends = targets.map(({ pid }) => endProcess(pid, startTimeOf(pid), 0));
      for (const { pid } of targets) killed.add(pid);
      await Promise.all(ends);
      return undefined;
    },
    20,
  );
  return [...killed];
}

/**
 * kill -9 of the one process of a kind, once: whoever watches over it may restart it.
 * Returns when it has ended, so that nobody takes it for one that runs.
 */
export async function killOnce(
  cluster: ClusterLayout,
  nodeName: string,
  kind: ProcessKind,
): Promise<number> {
  const target = (await clusterProcesses(cluster)).find(
    (process) => process.node === nodeName && kindOf(process.command) === kind,
  );
  if (target === undefined) throw new Error(`no ${kind} runs on ${nodeName}`);
  await endProcess(target.pid, startTimeOf(target.pid), 0);
  return target.pid;
}

/** SIGTERM to a kind of process, then SIGKILL to what has not ended in time. */
export async function endGracefully(
  cluster: ClusterLayout,
  nodeName: string,
  kinds: readonly ProcessKind[],
  timeoutMs: number,
): Promise<void> {
  const select = (process: ClusterProcess): boolean =>
    process.node === nodeName && kinds.includes(kindOf(process.command));
  const targets = (await clusterProcesses(cluster)).filter(select);
  await Promise.all(targets.map(({ pid }) => endProcess(pid, startTimeOf(pid), timeoutMs)));
  // One of them may have been started again by another before that one ended.
  await killAll(cluster, select);
}
