import { randomUUID } from 'node:crypto';
import { existsSync } from 'node:fs';
import { mkdir, open, writeFile } from 'node:fs/promises';
import path from 'node:path';
import { run, tryRun } from '../../../tools/lib/run.js';
import { GiveUp, waitFor } from '../../../tools/lib/wait.js';
import { listCgroups, makeNodeCgroups, removeNodeCgroups } from './cgroups.js';
import {
  abortFuse,
  attachDisks,
  detachDisks,
  detachInnerLoops,
  orphanedLoops,
  recordInnerLoops,
} from './disks.js';
import type { ClusterLayout, NodeLayout } from './layout.js';
import { makeNodeNetwork, removeNodeNetwork, setLink } from './network.js';
import { writeNodeFiles } from './node-files.js';
import { initScript } from './node-init.js';
import { initPid, killAll, listProcesses, signal, spawnDetached } from './processes.js';

export interface NodeMachine {
  readonly cluster: ClusterLayout;
  readonly node: NodeLayout;
  readonly nodes: readonly NodeLayout[];
  readonly kubernetesVersion: string;
  readonly kubernetesBinDir: string;
  readonly disks: number;
  readonly diskSizeBytes: number;
}

const cniBinDir = '/usr/lib/cni';
const bootTimeoutMs = 60_000;
const endTimeoutMs = 60_000;

/** The words before a command that is to run in a node, as one who is logged in there. */
export function inNode(init: number): string[] {
  return ['nsenter', '-t', String(init), '-m', '-n', '-p', '-u', '-i', '--'];
}

async function waitBooted(machine: NodeMachine, logFile: string): Promise<number> {
  const { cluster, node } = machine;
  return waitFor(
    `containerd on ${node.name} (see ${logFile} and ${node.rootDir}/var/log)`,
    bootTimeoutMs,
    async () => {
      const init = await initPid(cluster, node.name);
      if (init === undefined) {
        // In the middle of an exec only its network namespace tells whose a process is.
        const names = [node.name, node.namespace];
        const alive = (await listProcesses(cluster)).some((p) => names.includes(p.node));
        if (alive) return undefined;
        const tail = await tryRun('tail', ['-n', '5', logFile]);
        throw new GiveUp(`the init of ${node.name} ended: ${tail.stdout}`);
      }
      if (!existsSync(`/proc/${init}/root/run/pxk/started`)) return undefined;
      const [command = '', ...args] = [...inNode(init), 'ctr', 'version'];
      const asked = await tryRun(command, args, { timeoutMs: 10_000 });
      return asked.code === 0 ? init : undefined;
    },
    250,
  );
}

/** Switches a node on; one that is on is left alone. Returns its init. */
export async function startNode(machine: NodeMachine): Promise<number> {
  const { cluster, node } = machine;
  const logFile = path.join(cluster.logDir, `${node.name}.log`);
  if ((await initPid(cluster, node.name)) === undefined) {
    // What a crash left would be in the way: a node boots from its disks alone.
    await clearDeadNode(machine);
    await mkdir(node.dir, { recursive: true });
    await makeNodeNetwork(cluster, node, machine.nodes);
    await makeNodeCgroups(node);
    await writeNodeFiles(cluster, node, machine.nodes, machine.kubernetesVersion);
    await writeFile(node.bootIdFile, `${randomUUID()}\n`);
    const disks = await attachDisks(node, machine.disks, machine.diskSizeBytes);
    const { kubernetesBinDir } = machine;
    await writeFile(node.initFile, initScript({ node, kubernetesBinDir, cniBinDir, disks }));
    await spawnDetached({
      cluster,
      node: node.name,
      role: 'node',
      namespace: node.namespace,
      command: [
        ...['unshare', '--mount', '--uts', '--ipc', '--pid', '--fork', '--kill-child'],
        ...['--propagation', 'private', '--', 'bash', node.initFile],
      ],
      logFile,
    });
  }
  return waitBooted(machine, logFile);
}

/** Of a node that is dead: its disks go, too. */
export async function removeNode(machine: NodeMachine): Promise<void> {
  const { cluster, node } = machine;
  await clearDeadNode(machine);
  await detachDisks(node);
  await waitFor(`end of the cgroups of ${node.name}`, endTimeoutMs, async () => {
    await removeNodeCgroups(node);
    const left = await listCgroups(cluster);
    return left.some((name) => path.basename(name) === node.cgroup) ? undefined : true;
  });
  await run('rm', ['-rf', '--one-file-system', node.dir], { timeoutMs: endTimeoutMs });
}

async function clearDeadNode({ cluster, node }: NodeMachine): Promise<void> {
  await killAll(cluster, (p) => p.node === node.name || p.node === node.namespace);
  await detachInnerLoops(node);
  await removeNodeNetwork(cluster, node);
  await removeNodeCgroups(node);
}

/**
 * kill -9 of a node's init, and with it of all that runs on the node.
 *
 * The mount namespace is held until everybody is dead: else the last process
 * to exit unmounts what is left, and where that is a file system on a FUSE
 * file that this very process serves, it waits for itself, and whoever calls
 * sync(2) waits with it. A machine that loses its power has no such end.
 */
export async function endInit(cluster: ClusterLayout, node: NodeLayout): Promise<void> {
  const init = await initPid(cluster, node.name);
  if (init === undefined) return;
  const fuse = await recordInnerLoops(node, init);
  const namespace = await open(`/proc/${init}/ns/mnt`, 'r');
  try {
    signal(init, 'SIGKILL');
    await abortFuse(fuse);
    await waitFor(`end of ${node.name}`, endTimeoutMs, async () =>
      (await initPid(cluster, node.name)) === undefined ? true : undefined,
    );
  } finally {
    await namespace.close();
  }
}

/**
 * Takes a node's power: silence on its link first, then its init dies and with
 * it everything in its PID namespace, its mounts and its memory. Its disks stay.
 */
export async function killNode(machine: NodeMachine): Promise<void> {
  const { cluster, node } = machine;
  const before = await orphanedLoops();
  await setLink(cluster, node, 'down').catch(() => undefined);
  await endInit(cluster, node);
  await killAll(cluster, (p) => p.node === node.name);
  await detachInnerLoops(node);
  // One that is still mounted goes with its namespace.
  await waitFor(`end of the loop devices of ${node.name}`, endTimeoutMs, async () =>
    [...(await orphanedLoops())].every((sequence) => before.has(sequence)) ? true : undefined,
  );
}
