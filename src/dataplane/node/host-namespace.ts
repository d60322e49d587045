import { readFileSync, readlinkSync } from 'node:fs';
import { join } from 'node:path';
import { PxError } from '../../kernel/errors.js';
import { sameFile } from '../host-runtime/same-file.js';

/**
 * The host as a container sees it that shares the host's PID namespace: PID 1
 * is the host's init, and /proc/1 leads to its namespaces and files.
 */
const hostInit = '/proc/1';
const ownProcess = '/proc/self';

/** Refuses a container in which the block path could not outlive the pod, and says what to change. */
export function checkHostContainer(directories: readonly string[]): void {
  if (namespaceOf(ownProcess, 'mnt') === namespaceOf(hostInit, 'mnt')) {
    // Without the host's PIDs a container's first process is its own PID 1.
    throw refused(
      'PID 1 is in the same mount namespace as px-node, so it is not the init of a host around ' +
        'this container: set hostPID: true (or leave --host-runtime-dir out, on a host)',
    );
  }
  if (namespaceOf(ownProcess, 'net') !== namespaceOf(hostInit, 'net')) {
    throw refused('px-node must share the network of the host: set hostNetwork: true');
  }
  for (const directory of directories) {
    if (!sameFile(directory, join(hostInit, 'root', directory))) {
      throw refused(
        `${directory} is not the host’s directory of the same name: set hostPID: true, ` +
          `and mount the hostPath ${directory} at ${directory}`,
      );
    }
    const own = peerGroupOf(readMounts(ownProcess), directory);
    if (own === undefined || own !== peerGroupOf(readMounts(hostInit), directory)) {
      throw refused(
        `mounts below ${directory} would not reach the host: set mountPropagation: ` +
          'Bidirectional on it, and have it on a shared mount on the host',
      );
    }
  }
}

/** Runs what follows as the host's init would; without a fork, so the process id stays. */
export function enterHostCommand(): readonly string[] {
  const others = (['ipc', 'uts', 'cgroup'] as const).filter(
    (name) => namespaceOf(ownProcess, name) !== namespaceOf(hostInit, name),
  );
  return ['nsenter', '--target=1', '--mount', ...others.map((name) => `--${name}`), '--'];
}

/** '' where the kernel does not have such namespaces. */
function namespaceOf(process: string, name: string): string {
  try {
    return readlinkSync(join(process, 'ns', name));
  } catch {
    return '';
  }
}

function readMounts(process: string): string {
  return readFileSync(join(process, 'mountinfo'), 'utf8');
}

/**
 * The peer group of the mount in which the directory lies: mounts appear in
 * all mounts of a group. Undefined for a private one. Of several mounts at one
 * place the last is on top.
 */
export function peerGroupOf(mountInfo: string, directory: string): string | undefined {
  let best: { length: number; group: string | undefined } | undefined;
  for (const line of mountInfo.split('\n')) {
    const mountPoint = line.split(' ')[4];
    if (mountPoint === undefined || !contains(mountPoint, directory)) continue;
    if (best !== undefined && mountPoint.length < best.length) continue;
    const group = / shared:(\d+) /.exec(line.slice(0, line.indexOf(' - ') + 1))?.[1];
    best = { length: mountPoint.length, group };
  }
  return best?.group;
}

function contains(mountPoint: string, directory: string): boolean {
  return mountPoint === '/' || directory === mountPoint || directory.startsWith(`${mountPoint}/`);
}

function refused(message: string): PxError {
  return new PxError('failed_precondition', message);
}
