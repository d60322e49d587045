import { accessSync, constants, existsSync } from 'node:fs';
import path from 'node:path';

/** What of the machine a whole-system test needs and isn't there, in a few words. */
export function missingOnMachine(alsoNeeded: readonly string[] = []): string[] {
  const missing: string[] = [];
  if (process.getuid?.() !== 0) missing.push('root');
  for (const device of ['/dev/fuse', '/dev/loop-control']) {
    try {
      accessSync(device, constants.R_OK | constants.W_OK);
    } catch {
      missing.push(device);
    }
  }
  const search = `${process.env['PATH'] ?? ''}:/usr/sbin:/sbin`.split(':');
  const programs = ['etcd', 'etcdctl', 'mkfs.xfs', 'losetup', 'ip', 'nsenter', 'fio'];
  for (const command of [...programs, ...alsoNeeded]) {
    if (!search.some((dir) => existsSync(path.join(dir, command)))) missing.push(command);
  }
  return missing;
}

/** A suite on real parts; where they are missing, its name says why it is skipped. */
export function describeOnCluster(name: string, tests: () => void): void {
  const missing = missingOnMachine();
  if (missing.length === 0) describe(name, tests);
  else describe.skip(`${name} (skipped: needs ${missing.join(', ')})`, tests);
}

/** A suite that starts containers; skipped, with the reason in its name, where that is impossible. */
export function describeInContainers(name: string, tests: () => void): void {
  const missing = missingOnMachine(['runc', 'unshare']);
  if (missing.length === 0) describe(name, tests);
  else describe.skip(`${name} (skipped: needs ${missing.join(', ')})`, tests);
}
