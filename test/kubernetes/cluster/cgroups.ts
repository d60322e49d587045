import { existsSync } from 'node:fs';
import { mkdir, readdir, readFile, rmdir, writeFile } from 'node:fs/promises';
import path from 'node:path';
import type { ClusterLayout, NodeLayout } from './layout.js';

const mountPoint = '/sys/fs/cgroup';

/** A v1 tree for each controller, or the one tree of v2. */
async function trees(): Promise<string[]> {
  if (existsSync(path.join(mountPoint, 'cgroup.controllers'))) return [mountPoint];
  const names = await readdir(mountPoint);
  return names
    .map((name) => path.join(mountPoint, name))
    .filter((dir) => existsSync(path.join(dir, 'cgroup.procs')));
}

/** A new cpuset is empty and takes no process until it has its parent's CPUs and memory. */
async function inheritCpuset(dir: string): Promise<void> {
  for (const name of ['cpuset.cpus', 'cpuset.mems']) {
    const file = path.join(dir, name);
    if (!existsSync(file) || (await readFile(file, 'utf8')).trim() !== '') continue;
    await writeFile(file, (await readFile(path.join(dir, '..', name), 'utf8')).trim());
  }
}

/** The kubelet's cgroup root, and beside its pods a place for the node's services. */
export async function makeNodeCgroups(node: NodeLayout): Promise<void> {
  for (const tree of await trees()) {
    for (const dir of [path.join(tree, node.cgroup), path.join(tree, node.cgroup, 'system')]) {
      await mkdir(dir, { recursive: true });
      await inheritCpuset(dir);
    }
  }
}

async function removeTree(dir: string): Promise<void> {
  for (const entry of await readdir(dir, { withFileTypes: true }).catch(() => [])) {
    if (entry.isDirectory()) await removeTree(path.join(dir, entry.name));
  }
  // A cgroup in which a process is just ending is still busy; the caller looks again.
  await rmdir(dir).catch(() => undefined);
}

export async function removeNodeCgroups(node: NodeLayout): Promise<void> {
  for (const tree of await trees()) await removeTree(path.join(tree, node.cgroup));
}

/** The cluster's cgroups as the kernel lists them. */
export async function listCgroups(cluster: ClusterLayout): Promise<string[]> {
  const found: string[] = [];
  for (const tree of await trees()) {
    for (const name of await readdir(tree)) {
      if (name.startsWith(`${cluster.prefix}-`)) found.push(path.join(tree, name));
    }
  }
  return found;
}

export async function removeCgroups(cluster: ClusterLayout): Promise<void> {
  for (const dir of await listCgroups(cluster)) await removeTree(dir);
}
