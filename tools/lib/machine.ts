import { constants } from 'node:fs';
import { access } from 'node:fs/promises';
import { findCommand, tryRun } from './run.js';

/** What this machine allows; each entry says in a few words what is missing. */
export interface Machine {
  /** Empty when the whole product can be shown. */
  readonly missing: readonly string[];
}

export async function inspectMachine(): Promise<Machine> {
  const missing: string[] = [];
  if (process.getuid?.() !== 0) missing.push('root');
  const canWrite = async (file: string): Promise<boolean> =>
    access(file, constants.R_OK | constants.W_OK).then(
      () => true,
      () => false,
    );
  if (!(await canWrite('/dev/fuse'))) missing.push('/dev/fuse');
  if (!(await canWrite('/dev/loop-control'))) missing.push('loop devices');
  for (const command of ['etcd', 'mkfs.xfs', 'mkfs.ext4', 'losetup', 'ip', 'nsenter', 'fio']) {
    if ((await findCommand(command)) === undefined) missing.push(`the program ${command}`);
  }
  if (missing.length === 0) {
    const namespace = `px-probe-${process.pid}`;
    const made = await tryRun('ip', ['netns', 'add', namespace], { timeoutMs: 5000 });
    if (made.code !== 0) missing.push('network namespaces');
    await tryRun('ip', ['netns', 'del', namespace], { timeoutMs: 5000 });
  }
  return { missing };
}
