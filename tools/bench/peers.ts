import { spawn, type ChildProcess } from 'node:child_process';
import { open, rm } from 'node:fs/promises';
import path from 'node:path';
import type { DevCluster } from '../devcluster/cluster.js';
import { findCommand, tryRun } from '../lib/run.js';
import { waitFor } from '../lib/wait.js';
import { onNbd, poolMount, type Target } from './targets.js';
import { workingSetBytes } from './workloads.js';

/**
 * QEMU's quorum driver over NBD, on the same disks and with the same number of
 * copies: each copy is a raw file of a node's XFS behind a qemu-nbd, and one
 * more qemu-nbd writes to all of them. All of it in C, on this machine's
 * loopback-free unix sockets; it has no fencing, no dirty map and no resync.
 */
export async function quorumTarget(cluster: DevCluster, copies: number): Promise<Target> {
  const children: ChildProcess[] = [];
  const files: string[] = [];
  const sockets: string[] = [];
  const start = async (socket: string, args: readonly string[]): Promise<void> => {
    sockets.push(socket);
    const common = ['--persistent', '--shared=16', '--aio=threads', '--discard=unmap'];
    const child = spawn('qemu-nbd', [...common, '-k', socket, ...args], { stdio: 'ignore' });
    children.push(child);
    await waitFor(`qemu-nbd on ${socket}`, 10_000, async () => {
      const answer = await tryRun('nbdinfo', ['--size', `nbd+unix:///?socket=${socket}`], {
        timeoutMs: 5000,
      });
      return answer.code === 0 ? true : undefined;
    });
  };
  const children_ = Array.from({ length: copies }, (_, index) => {
    const socket = path.join(cluster.layout.dir, `peer${copies}-${index}.sock`);
    return { socket, node: `n${index + 1}` };
  });
  for (const { socket, node } of children_) {
    const file = path.join(await poolMount(cluster, node), `bench-peer-${copies}.img`);
    files.push(file);
    await using handle = await open(file, 'w');
    await handle.truncate(workingSetBytes);
    await start(socket, ['--format=raw', '--cache=writeback', file]);
  }
  const front = path.join(cluster.layout.dir, `peer${copies}.sock`);
  const branches = children_.map(({ socket }, index) => {
    const child = `children.${index}`;
    return `${child}.driver=raw,${child}.file.driver=nbd,${child}.file.path=${socket}`;
  });
  const image = `driver=quorum,vote-threshold=1,read-pattern=fifo,${branches.join(',')}`;
  await start(front, ['--image-opts', image]);
  const pids = children.map((child) => child.pid ?? 0);
  return {
    name: `qemu quorum x${copies}`,
    options: onNbd(`nbd+unix:///?socket=${front}`),
    pids: async () => pids,
    close: async () => {
      for (const child of children) child.kill('SIGKILL');
      for (const file of [...files, ...sockets]) await rm(file, { force: true });
    },
  };
}

/** The peers that this machine has, and what is missing for the others. */
export async function findPeers(): Promise<{ quorum: boolean; remarks: readonly string[] }> {
  const quorum = (await findCommand('qemu-nbd')) !== undefined;
  const remarks = ['Ceph RBD and GlusterFS are not set up by this program and were not measured.'];
  if (!quorum) remarks.push('QEMU quorum was not measured: qemu-nbd is not installed.');
  return { quorum, remarks };
}
