import { existsSync } from 'node:fs';
import { mkdir, open, readFile, rm, stat, writeFile } from 'node:fs/promises';
import path from 'node:path';
import {
  fuseAbortFile,
  isUnder,
  listLoops,
  type LoopDevice,
} from '../../../tools/devcluster/kernel-state.js';
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

/** A loop device of one moment: the number changes whenever it is attached anew. */
interface LoopRecord {
  readonly device: string;
  readonly sequence: string;
}

const recordOf = (node: NodeLayout): string => path.join(node.dir, 'inner-loops.json');
const statusTimeoutMs = 3000;

async function sequenceOf(device: string): Promise<string> {
  const file = `/sys/block/${path.basename(device)}/diskseq`;
  return (await readFile(file, 'utf8').catch(() => '')).trim();
}

async function readRecord(node: NodeLayout): Promise<LoopRecord[]> {
  const text = await readFile(recordOf(node), 'utf8').catch(() => '[]');
  return JSON.parse(text) as LoopRecord[];
}

/** major:minor of the FUSE file systems in the mount namespaces of a node and its pods. */
async function fuseFileSystems(init: number): Promise<Set<string>> {
  const listed = await tryRun('nsenter', [
    ...['-t', String(init), '-m', '-p', '--'],
    ...['sh', '-c', 'cat /proc/[0-9]*/mountinfo 2>/dev/null'],
  ]);
  const found = new Set<string>();
  for (const line of listed.stdout.split('\n')) {
    const [left = '', right = ''] = line.split(' - ');
    const isFuse = right.startsWith('fuse') && !right.startsWith('fusectl');
    if (isFuse) found.add(left.split(' ')[2] ?? '');
  }
  return found;
}

/** A loop device with the file behind it, as far as the kernel tells. */
interface Backing extends LoopRecord {
  readonly backingFile: string;
  readonly fileSystem: string;
  readonly inode: number | undefined;
}

async function backingOf({ device, backingFile }: LoopDevice): Promise<Backing> {
  const sequence = await sequenceOf(device);
  // The kernel asks the file system for this, which may be anyone's and hang.
  const columns = ['--json', '-O', 'BACK-MAJ:MIN,BACK-INO', '-l', device];
  const told = await tryRun('losetup', columns, { timeoutMs: statusTimeoutMs });
  return { device, backingFile, sequence, ...parseBacking(told.stdout) };
}

/** Whether a loop device stands on a FUSE file of the node, or on a file of its own root. */
async function isInner(
  node: NodeLayout,
  fuse: ReadonlySet<string>,
  { fileSystem, backingFile, inode }: Backing,
): Promise<boolean> {
  if (fuse.has(fileSystem)) return true;
  const own = await stat(path.join(node.rootDir, backingFile)).catch(() => undefined);
  return own?.isFile() === true && own.ino === inode;
}

/**
 * Loop devices over loop devices: the kubelet keeps a raw block volume of a pod
 * in use by one (AttachFileDevice in its volume_path_handler_linux.go).
 */
async function above(lower: readonly Backing[], all: readonly Backing[]): Promise<Backing[]> {
  const devices = await Promise.all(lower.map(({ device }) => stat(device)));
  const inodes = new Set(devices.map(({ ino }) => ino));
  const dev = devices[0]?.dev ?? 0;
  const devtmpfs = `${dev >> 8}:${dev & 0xff}`;
  return all.filter(
    ({ fileSystem, inode }) => fileSystem === devtmpfs && inode !== undefined && inodes.has(inode),
  );
}

/**
 * The file behind a loop device in losetup's JSON: its file system (major:minor)
 * and inode. losetup aligns the first to the right with blanks, in every format.
 */
export function parseBacking(json: string): {
  readonly fileSystem: string;
  readonly inode: number | undefined;
} {
  // Nothing is printed about a device that was detached in between.
  const told = JSON.parse(json === '' ? '{}' : json) as {
    readonly loopdevices?: readonly {
      readonly 'back-maj:min'?: string | null;
      readonly 'back-ino'?: number | string | null;
    }[];
  };
  const device = told.loopdevices?.[0];
  const inode = device?.['back-ino'] ?? undefined;
  return {
    fileSystem: (device?.['back-maj:min'] ?? '').trim(),
    inode: inode === undefined ? undefined : Number(inode),
  };
}

/**
 * Notes the loop devices that programs of a living node attached: they belong
 * to the machine and outlive the node, and once the FUSE server is dead the
 * kernel can't tell whose they are. On a real machine they go with the power.
 * Returns the FUSE file systems (major:minor) that are mounted in the node.
 */
export async function recordInnerLoops(
  node: NodeLayout,
  init: number,
): Promise<ReadonlySet<string>> {
  const fuse = await fuseFileSystems(init);
  // A path that is a file of the machine's is no node's; the kernel calls "/" what has none.
  const loops = (await listLoops()).filter(
    ({ backingFile }) => backingFile === '/' || !existsSync(backingFile),
  );
  const all = await Promise.all(loops.map(backingOf));
  const areInner = await Promise.all(all.map((one) => isInner(node, fuse, one)));
  const inner = all.filter((_, index) => areInner[index]);
  // Those above go first: until then the lower ones are in use.
  const found = [...(await above(inner, all)), ...inner].map(({ device, sequence }) => ({
    device,
    sequence,
  }));
  await writeFile(recordOf(node), JSON.stringify([...(await readRecord(node)), ...found]));
  return fuse;
}

/**
 * Ends the connections of a node that is being killed: a process that serves a
 * mount which it also uses can't end while it waits for its own answer.
 */
export async function abortFuse(fileSystems: ReadonlySet<string>): Promise<void> {
  for (const fileSystem of fileSystems) {
    const minor = Number(fileSystem.split(':')[1]);
    await writeFile(fuseAbortFile(minor), '1').catch(() => undefined);
  }
}

/**
 * Loop devices whose file is in no mount namespace any more, as those of a dead
 * node's volumes are: the kernel has no other name than "/" for it. By sequence.
 */
export async function orphanedLoops(): Promise<ReadonlySet<string>> {
  const orphans = (await listLoops()).filter(({ backingFile }) => backingFile === '/');
  return new Set(await Promise.all(orphans.map(({ device }) => sequenceOf(device))));
}

/** Frees what a dead node's programs left attached. */
export async function detachInnerLoops(node: NodeLayout): Promise<void> {
  for (const { device, sequence } of await readRecord(node)) {
    if ((await sequenceOf(device)) !== sequence) continue;
    await tryRun('losetup', ['-d', device], { timeoutMs: 10_000 });
  }
  await rm(recordOf(node), { force: true });
}

export async function listDiskLoops({ dir }: Pick<ClusterLayout, 'dir'>): Promise<string[]> {
  const loops = await listLoops();
  return loops.filter((l) => isUnder(l.backingFile, dir)).map((l) => l.device);
}

/** Those of the whole cluster, or of one node, by the directory that they lie in. */
export async function detachDisks(where: Pick<ClusterLayout, 'dir'>): Promise<void> {
  for (const device of await listDiskLoops(where)) {
    await tryRun('losetup', ['-d', device], { timeoutMs: 10_000 });
  }
}
