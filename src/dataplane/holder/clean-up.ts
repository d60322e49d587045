import type { Logger } from '../../platform/logger.js';
import type { RunCommand } from '../../platform/run-command.js';
import { listLoopDevices } from '../frontend/loop-device.js';
import { abortFuseFile, fusePath, listFuseMounts, unmountFuseFile } from './fuse-mounts.js';

/**
 * Takes down every FUSE mount and loop device of a run directory, but for the
 * volumes in `keep`. For what a dead holder and engine left: their connections
 * are aborted already, so nobody can lose anything more by it. What exists is
 * taken from the kernel. A loop device that is still mounted goes away at its
 * last close.
 */
export async function cleanUpRunDir(
  runDir: string,
  keep: ReadonlySet<string>,
  run: RunCommand,
  logger: Logger,
): Promise<void> {
  const mounts = (await listFuseMounts(runDir)).filter(({ volumeId }) => !keep.has(volumeId));
  // First the abort: until then a detach would wait for answers that never come.
  for (const { path } of mounts) {
    logger.warn('a left-over mount is taken down', { path });
    abortFuseFile(path);
  }
  // Then the devices, as long as the mount gives their files the name by which we know them.
  // Only those with a mount here: loop devices are the kernel's, and nodes that share
  // a kernel (in containers) may all have the same run directory.
  const files = new Set(mounts.map(({ volumeId }) => fusePath(runDir, volumeId)));
  for (const device of listLoopDevices()) {
    if (!files.has(device.backingFile)) continue;
    logger.warn('a left-over loop device is taken down', { device: device.path });
    await run('losetup', ['--detach', device.path], { timeoutMs: 20_000, okExitCodes: [0, 1] });
  }
  for (const { path } of mounts) await unmountFuseFile(path);
}
