import { writeFile } from 'node:fs/promises';
import { setTimeout as delay } from 'node:timers/promises';
import { tryRun } from '../lib/run.js';
import {
  fuseAbortFile,
  fuseConnections,
  isUnder,
  listLoops,
  listMounts,
  type LoopDevice,
  type MountEntry,
} from './kernel-state.js';

/**
 * Removes what dead processes left in the kernel below `dir`: file systems on
 * its loop devices, the loop devices, and FUSE mounts. Call it when no process
 * of the node is alive.
 *
 * A FUSE connection whose server is dead ends by itself, but one whose
 * descriptor leaked into another process would keep every reader waiting: the
 * abort comes first, and after it nothing below can hang.
 */
export async function sweep(dir: string): Promise<void> {
  await abortFuse(dir);
  // Mounts stand on loop devices, which stand on FUSE files, which are mounts:
  // each round frees a layer.
  const rounds = 8;
  for (let round = 0; round < rounds; round++) {
    const loops = (await listLoops()).filter((loop) => isUnder(loop.backingFile, dir));
    const mounts = mountsOf(await listMounts(), loops, dir);
    if (loops.length === 0 && mounts.length === 0) return;
    const lazy = round >= rounds / 2;
    for (const mount of mounts) {
      await tryRun('umount', [...(lazy ? ['-l'] : []), mount.mountPoint], { timeoutMs: 20_000 });
    }
    const stillMounted = new Set((await listMounts()).map((mount) => mount.source));
    for (const loop of loops) {
      if (stillMounted.has(loop.device)) continue;
      await tryRun('losetup', ['-d', loop.device], { timeoutMs: 10_000 });
    }
    if (round > 0) await delay(200 * round);
  }
  const left = await leftovers(dir);
  if (left.length > 0) throw new Error(`could not clean up: ${left.join(', ')}`);
}

/** The mounts below `dir` or of one of its loop devices, the last mounted first. */
function mountsOf(
  mounts: readonly MountEntry[],
  loops: readonly LoopDevice[],
  dir: string,
): MountEntry[] {
  const devices = new Set(loops.map((loop) => loop.device));
  return mounts
    .filter((mount) => isUnder(mount.mountPoint, dir) || devices.has(mount.source))
    .reverse();
}

async function abortFuse(dir: string): Promise<void> {
  const connections = await fuseConnections();
  for (const mount of await listMounts()) {
    if (!mount.fsType.startsWith('fuse') || !isUnder(mount.mountPoint, dir)) continue;
    // The connection's directory is named by the minor number of the mount's device.
    if (connections.has(mount.minor)) {
      await writeFile(fuseAbortFile(mount.minor), '1').catch(() => undefined);
    }
  }
}

/** What the kernel still lists below `dir`, as text. */
export async function leftovers(dir: string): Promise<string[]> {
  const loops = (await listLoops()).filter((loop) => isUnder(loop.backingFile, dir));
  const mounts = mountsOf(await listMounts(), loops, dir);
  return [
    ...mounts.map((mount) => `mount ${mount.mountPoint}`),
    ...loops.map((loop) => `${loop.device} on ${loop.backingFile}`),
  ];
}
