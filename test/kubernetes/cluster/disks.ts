import { mkdir, open, readFile, stat, writeFile } from 'node:fs/promises';
import path from 'node:path';
import { isUnder, listLoops } from '../../../tools/devcluster/kernel-state.js';
import { run, tryRun } from '../../../tools/lib/run.js';
import type { ClusterLayout, NodeLayout } from './layout.js';

/** The sparse files that play a node's disks, with loop devices over them. */
export async function attachDisks(
  node: NodeLayout,
  count: number,
  sizeBytes: number,
): Promise<string[]> {
  const dir = path.join(node.dir, 'disks');
  await mkdir(dir, { recursive: true });
  const devices: string[] = [];
  for (let number = 1; number <= count; number++) {
    const file = path.join(dir, `disk-${number}.img`);
    const existing = await stat(file).catch(() => undefined);
    if (existing?.size !== sizeBytes) {
      await using handle = await open(file, 'a');
      await handle.truncate(sizeBytes);
    }
    const present = (await listLoops()).find((loop) => loop.backingFile === file);
    const args = ['--find', '--show', '--direct-io=on', file];
    devices.push(present?.device ?? (await run('losetup', args, { timeoutMs: 10_000 })).trim());
  }
  return devices;
}

interface BackedLoop {
  readonly device: string;
  /** As the one who attached it saw it: a path in a node. */
  readonly file: string;
  /** major:minor of the file system that the file is in. */
  readonly fileSystem: string;
  readonly inode: number;
}

async function listBackedLoops(): Promise<BackedLoop[]> {
  const columns = 'NAME,BACK-MAJ:MIN,BACK-INO,BACK-FILE';
  const listed = await tryRun('losetup', ['-l', '-n', '--raw', '-O', columns]);
  return listed.stdout
    .split('\n')
    .filter((line) => line.trim() !== '')
    .map((line) => {
      const [device = '', fileSystem = '', inode = '', ...file] = line.trim().split(/\s+/);
      return { device, fileSystem, inode: Number(inode), file: file.join(' ') };
    });
}

const recordOf = (node: NodeLayout): string => path.join(node.dir, 'fuse-file-systems.json');

/**
 * Notes the FUSE file systems that are mounted in a living node: a loop device
 * over a file in one of them is the node's, but outlives it, as loop devices
 * belong to the machine. On a real machine it would go with the power.
 */
export async function recordFuse(node: NodeLayout, init: number): Promise<void> {
  const listed = await tryRun('nsenter', [
    ...['-t', String(init), '-m', '-p', '--'],
    ...['sh', '-c', 'cat /proc/[0-9]*/mountinfo 2>/dev/null'],
  ]);
  const found = new Set(await recordedFuse(node));
  for (const line of listed.stdout.split('\n')) {
    const [left = '', right = ''] = line.split(' - ');
    if (right.startsWith('fuse') && !right.startsWith('fusectl')) {
      found.add(left.split(' ')[2] ?? '');
    }
  }
  await writeFile(recordOf(node), JSON.stringify([...found]));
}

async function recordedFuse(node: NodeLayout): Promise<string[]> {
  const text = await readFile(recordOf(node), 'utf8').catch(() => '[]');
  return JSON.parse(text) as string[];
}

/** Loop devices that programs of a node attached, over FUSE files or files of its own disk. */
async function innerLoops(node: NodeLayout): Promise<string[]> {
  const fuse = new Set(await recordedFuse(node));
  const found: string[] = [];
  for (const loop of await listBackedLoops()) {
    const own = await stat(path.join(node.rootDir, loop.file)).catch(() => undefined);
    const isOwn = own?.isFile() === true && own.ino === loop.inode;
    if (fuse.has(loop.fileSystem) || isOwn) found.push(loop.device);
  }
  return found;
}

/** Frees what a dead node's programs left attached. */
export async function detachInnerLoops(node: NodeLayout): Promise<void> {
  for (const device of await innerLoops(node)) {
    await tryRun('losetup', ['-d', device], { timeoutMs: 10_000 });
  }
}

export async function listDiskLoops(cluster: ClusterLayout): Promise<string[]> {
  const loops = await listLoops();
  return loops.filter((l) => isUnder(l.backingFile, cluster.dir)).map((l) => l.device);
}

export async function detachDisks(cluster: ClusterLayout): Promise<void> {
  for (const device of await listDiskLoops(cluster)) {
    await tryRun('losetup', ['-d', device], { timeoutMs: 10_000 });
  }
}
