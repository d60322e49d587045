import { mkdirSync, writeFileSync } from 'node:fs';
import { basename, join } from 'node:path';
import type { RunCommand } from '../../platform/run-command.js';
import { mountPointsOf, type DeviceFacts } from './block-device.js';

/** Log replay after a crash reads the whole log; it is bounded, but not short on slow disks. */
const mountTimeoutMs = 120_000;

export function mountPointOf(dataDir: string, deviceId: string): string {
  return join(dataDir, 'devices', deviceId);
}

/** Mounts the device there; nothing happens when it already is. */
export async function mountDevice(
  run: RunCommand,
  device: DeviceFacts,
  mountPoint: string,
): Promise<void> {
  if (mountPointsOf(device.deviceNumber).includes(mountPoint)) return;
  mkdirSync(mountPoint, { recursive: true, mode: 0o700 });
  // Access times would make every read a write.
  const args = ['-t', 'xfs', '-o', 'noatime', device.realPath, mountPoint];
  await run('mount', args, { timeoutMs: mountTimeoutMs });
  failFast(device);
}

/**
 * By default XFS tries a failed metadata write again for ever, and everybody
 * who waits for the log hangs with it. A few tries, then the file system shuts
 * down and says EIO, and the replicas on it are taken out of their volumes.
 * Source: admin-guide/xfs.rst, "Error handling".
 */
function failFast(device: DeviceFacts): void {
  const directory = join('/sys/fs/xfs', basename(device.realPath), 'error/metadata');
  for (const error of ['EIO', 'ENOSPC', 'default']) {
    try {
      writeFileSync(join(directory, error, 'max_retries'), '5');
    } catch {
      // sysfs may be read-only in a container; then only the time-outs of the replicas help.
    }
  }
}

/**
 * Looks at a file system that may be anybody's without changing a byte of it:
 * not even the log is replayed. Answers with what `look` answers.
 */
export async function lookInside<T>(
  run: RunCommand,
  device: DeviceFacts,
  mountPoint: string,
  look: (directory: string) => T,
): Promise<T> {
  mkdirSync(mountPoint, { recursive: true, mode: 0o700 });
  const args = ['-t', 'xfs', '-o', 'ro,norecovery,nouuid', device.realPath, mountPoint];
  await run('mount', args, { timeoutMs: mountTimeoutMs });
  try {
    return look(mountPoint);
  } finally {
    await unmount(run, mountPoint);
  }
}

export async function unmount(run: RunCommand, mountPoint: string): Promise<void> {
  await run('umount', [mountPoint], { timeoutMs: mountTimeoutMs });
}
