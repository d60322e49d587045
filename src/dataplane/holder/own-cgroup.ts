import { existsSync, mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { PxError, toPxError } from '../../kernel/errors.js';
import { parseMountInfo, type MountEntry } from '../../platform/block/mountinfo.js';
import type { Logger } from '../../platform/logger.js';

/** A line of /proc/PID/cgroup, see cgroups(7). */
export interface Membership {
  /** `memory`, `cpu,cpuacct`, `name=systemd`; '' for cgroup v2. */
  readonly controllers: string;
  readonly path: string;
}

export interface CgroupFiles {
  /** `/proc`, or what a test puts in its place. */
  readonly proc: string;
  readonly pid: number;
}

export function parseMemberships(text: string): Membership[] {
  return text
    .split('\n')
    .map((line) => /^\d+:([^:]*):(.*)$/.exec(line))
    .filter((match) => match !== null)
    .map(([, controllers = '', path = '']) => ({ controllers, path }));
}

/**
 * Leaves the cgroups of the container in which this process was started, in
 * every hierarchy, for `/<name>` at the hierarchy's root. On its end a
 * container that shares the host's PID namespace gets a SIGKILL for every
 * process in its cgroup (runc), and so does a deleted pod (kubelet), each by
 * its own choice of hierarchy: to stay in one is to die with the pod.
 */
export function leaveCgroups(name: string, files: CgroupFiles, logger: Logger): void {
  const mounts = parseMountInfo(readFileSync(join(files.proc, 'self/mountinfo'), 'utf8'));
  for (const { controllers } of memberships(files, 'self')) {
    const mount = findHierarchy(mounts, controllers);
    if (mount === undefined) continue;
    try {
      enter(join(mount.mountPoint, name), controllers, files.pid);
    } catch (error) {
      // What counts is where this process is in the end.
      const reason = toPxError(error).message;
      logger.warn('a cgroup cannot be entered', { controllers, reason });
    }
  }
  const bound = strayMemberships(memberships(files, 'self'), memberships(files, '1'), name);
  if (bound.length === 0) return;
  const where = bound.map(({ controllers, path }) => `${controllers || 'cgroup2'}:${path}`);
  throw new PxError(
    'failed_precondition',
    `the holder cannot leave the cgroups of the pod (${where.join(', ')}) and would end with it`,
  );
}

/** Those that are neither our own cgroup nor outside of every container, as the host's init is. */
export function strayMemberships(
  own: readonly Membership[],
  init: readonly Membership[],
  name: string,
): Membership[] {
  return own.filter(({ controllers, path }) => {
    if (path === '/' || path.endsWith(`/${name}`)) return false;
    return !init.some((other) => other.controllers === controllers && other.path === path);
  });
}

function memberships({ proc }: CgroupFiles, pid: string): Membership[] {
  return parseMemberships(readFileSync(join(proc, pid, 'cgroup'), 'utf8'));
}

/** Several mounts may show one hierarchy; the first is the outermost. */
function findHierarchy(mounts: readonly MountEntry[], controllers: string): MountEntry | undefined {
  if (controllers === '') return mounts.find(({ fsType }) => fsType === 'cgroup2');
  const wanted = controllers.split(',');
  return mounts.find(
    ({ fsType, superOptions }) =>
      fsType === 'cgroup' && wanted.every((controller) => superOptions.includes(controller)),
  );
}

function enter(directory: string, controllers: string, pid: number): void {
  mkdirSync(directory, { recursive: true });
  // A new cpuset is empty in v1, and takes no process then.
  if (controllers.split(',').includes('cpuset')) {
    for (const file of ['cpuset.cpus', 'cpuset.mems']) inherit(directory, file);
  }
  // All threads of the process go with it.
  writeFileSync(join(directory, 'cgroup.procs'), String(pid));
}

function inherit(directory: string, file: string): void {
  const own = join(directory, file);
  if (!existsSync(own) || readFileSync(own, 'utf8').trim() !== '') return;
  writeFileSync(own, readFileSync(join(directory, '..', file), 'utf8').trim());
}
