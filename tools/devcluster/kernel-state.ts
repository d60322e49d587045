import { readdir, readFile, readlink } from 'node:fs/promises';
import path from 'node:path';
import { nodeVariable, tagVariable } from './layout.js';

/**
 * What the kernel lists of a cluster. Cleaning up starts from here and never
 * from a file of our own, which a kill -9 may have left behind the truth.
 */
export interface MountEntry {
  readonly mountPoint: string;
  readonly source: string;
  readonly fsType: string;
  readonly minor: number;
  readonly major: number;
}

export interface LoopDevice {
  readonly device: string;
  readonly backingFile: string;
}

export interface ClusterProcess {
  readonly pid: number;
  readonly node: string;
  readonly command: string;
}

/** mountinfo writes space, tab, newline and backslash as octal (proc(5)). */
function unescapeMountField(field: string): string {
  return field.replace(/\\([0-7]{3})/g, (_, octal: string) =>
    String.fromCharCode(Number.parseInt(octal, 8)),
  );
}

export function parseMountInfo(text: string): MountEntry[] {
  const entries: MountEntry[] = [];
  for (const line of text.split('\n')) {
    if (line === '') continue;
    const [left = '', right = ''] = line.split(' - ');
    const fields = left.split(' ');
    const [fsType = '', source = ''] = right.split(' ');
    const [major = '0', minor = '0'] = (fields[2] ?? '').split(':');
    entries.push({
      mountPoint: unescapeMountField(fields[4] ?? ''),
      source: unescapeMountField(source),
      fsType,
      major: Number(major),
      minor: Number(minor),
    });
  }
  return entries;
}

export async function listMounts(): Promise<MountEntry[]> {
  return parseMountInfo(await readFile('/proc/self/mountinfo', 'utf8'));
}

export function isUnder(file: string, dir: string): boolean {
  return file === dir || file.startsWith(`${dir}/`);
}

export async function listLoops(): Promise<LoopDevice[]> {
  const loops: LoopDevice[] = [];
  for (const name of await readdir('/sys/block').catch(() => [])) {
    if (!name.startsWith('loop')) continue;
    try {
      const backing = await readFile(`/sys/block/${name}/loop/backing_file`, 'utf8');
      loops.push({
        device: `/dev/${name}`,
        backingFile: backing.replace(/( \(deleted\))?\n$/, ''),
      });
    } catch {
      // A loop device without a backing file has no such attribute: it is free.
    }
  }
  return loops;
}

async function readTags(pid: string): Promise<{ tag: string; node: string } | undefined> {
  const text = await readFile(`/proc/${pid}/environ`, 'latin1').catch(() => '');
  let tag = '';
  let node = '';
  for (const entry of text.split('\0')) {
    if (entry.startsWith(`${tagVariable}=`)) tag = entry.slice(tagVariable.length + 1);
    else if (entry.startsWith(`${nodeVariable}=`)) node = entry.slice(nodeVariable.length + 1);
  }
  return tag === '' ? undefined : { tag, node };
}

async function isZombie(pid: string): Promise<boolean> {
  const stat = await readFile(`/proc/${pid}/stat`, 'latin1').catch(() => '');
  return stat === '' || stat.slice(stat.lastIndexOf(')') + 2, stat.lastIndexOf(')') + 3) === 'Z';
}

/**
 * The cluster's living processes: those that carry its tag in their
 * environment, and those in one of its network namespaces (a process that
 * dropped its environment is still there). `namespaces` maps the inode of a
 * namespace, as in /proc/PID/ns/net, to the node's name.
 */
export async function listProcesses(
  tag: string,
  namespaces: ReadonlyMap<string, string>,
): Promise<ClusterProcess[]> {
  const found: ClusterProcess[] = [];
  for (const pid of await readdir('/proc')) {
    if (!/^\d+$/.test(pid) || Number(pid) === process.pid) continue;
    const net = await readlink(`/proc/${pid}/ns/net`).catch(() => '');
    const tags = await readTags(pid);
    const node = tags?.tag === tag ? tags.node : namespaces.get(net);
    if (node === undefined || (await isZombie(pid))) continue;
    const command = await readFile(`/proc/${pid}/cmdline`, 'utf8').catch(() => '');
    found.push({ pid: Number(pid), node, command: command.replaceAll('\0', ' ').trim() });
  }
  return found;
}

export async function fuseConnections(): Promise<Set<number>> {
  const names = await readdir('/sys/fs/fuse/connections').catch(() => []);
  return new Set(names.map(Number));
}

/** Where the kernel takes the abort of one FUSE connection (Documentation/filesystems/fuse.rst). */
export function fuseAbortFile(minor: number): string {
  return path.join('/sys/fs/fuse/connections', String(minor), 'abort');
}
