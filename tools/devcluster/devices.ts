import { mkdir, open, stat } from 'node:fs/promises';
import path from 'node:path';
import { run } from '../lib/run.js';
import { isUnder, listLoops } from './kernel-state.js';
import type { NodeLayout } from './layout.js';

/** Sizes as people write them: 512M, 4G, 1T, or bytes. */
export function parseSizeBytes(text: string): number {
  const match = /^(\d+)([KMGT]?)i?B?$/i.exec(text);
  if (match === null) throw new Error(`not a size: ${text} (for example 512M or 4G)`);
  const power = ['', 'K', 'M', 'G', 'T'].indexOf((match[2] ?? '').toUpperCase());
  return Number(match[1]) * 1024 ** power;
}

/** The sparse files that play a node's disks; they stay when the node "loses power". */
export async function makeDiskFiles(
  node: NodeLayout,
  count: number,
  sizeBytes: number,
): Promise<string[]> {
  const dir = path.join(node.dir, 'disks');
  await mkdir(dir, { recursive: true });
  const files: string[] = [];
  for (let index = 0; index < count; index++) {
    const file = path.join(dir, `disk${index}.img`);
    const existing = await stat(file).catch(() => undefined);
    if (existing?.size !== sizeBytes) {
      await using handle = await open(file, 'a');
      await handle.truncate(sizeBytes);
    }
    files.push(file);
  }
  return files;
}

/** Puts loop devices over the files, or finds those that are there. */
export async function attachDisks(files: readonly string[]): Promise<string[]> {
  const devices: string[] = [];
  const loops = await listLoops();
  for (const file of files) {
    const present = loops.find((loop) => isUnder(loop.backingFile, file));
    if (present !== undefined) {
      devices.push(present.device);
      continue;
    }
    const args = ['--find', '--show', '--direct-io=on', file];
    devices.push((await run('losetup', args, { timeoutMs: 10_000 })).trim());
  }
  return devices;
}
