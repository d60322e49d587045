import { mkdir, open, rmdir, stat, unlink } from 'node:fs/promises';
import type { Stats } from 'node:fs';
import { dirname } from 'node:path';
import { PxError, toPxError } from '../../kernel/errors.js';
import { delay } from '../monotonic.js';
import type { RunCommand } from '../run-command.js';
import { kernelPath, readMountInfo, type MountEntry } from './mountinfo.js';

/** A mount may replay a journal of a large file system first. */
const mountTimeoutMs = 120_000;
/** Writes back what is dirty; a full page cache takes its time. */
const unmountTimeoutMs = 120_000;
const statTimeoutMs = 10_000;
/** A mount point can be covered several times, by calls that were cut off and repeated. */
const mostLayers = 16;

/** Whoever only looks at the path (df, a monitor) makes it busy for a moment. */
const busyTries = 4;
const busyPauseMs = 150;

export type PathState =
  | { readonly kind: 'missing' }
  /** What a mount answers whose device is gone or whose file system has shut down. */
  | { readonly kind: 'corrupted'; readonly code: string }
  | { readonly kind: 'present'; readonly stats: Stats };

const corruptedCodes = ['EIO', 'ENOTCONN', 'ESTALE', 'EHOSTDOWN', 'ESHUTDOWN', 'ENXIO', 'ENODEV'];

/** What umount(8) says when files below the path are open, or the path is being looked at. */
export function isBusy(thrown: unknown): boolean {
  return /busy/.test(toPxError(thrown).message);
}

/** Mounting and unmounting; what is mounted is asked of the kernel every time. */
export class Mounter {
  constructor(
    private readonly run: RunCommand,
    private readonly mountInfoPath = '/proc/self/mountinfo',
  ) {}

  list(): Promise<MountEntry[]> {
    return readMountInfo(this.mountInfoPath);
  }

  /** The topmost mount on a path, undefined when it is no mount point. */
  async at(path: string): Promise<MountEntry | undefined> {
    const real = await kernelPath(path);
    return (await this.list()).filter((entry) => entry.mountPoint === real).at(-1);
  }

  async mount(
    device: string,
    path: string,
    fsType: string,
    options: readonly string[],
  ): Promise<void> {
    const args = ['-t', fsType, ...(options.length > 0 ? ['-o', options.join(',')] : [])];
    await this.run('mount', [...args, device, path], { timeoutMs: mountTimeoutMs });
  }

  async bind(source: string, target: string): Promise<void> {
    await this.run('mount', ['--bind', source, target], { timeoutMs: mountTimeoutMs });
  }

  /** A bind takes its source's flags; only a remount of the bind makes it read-only. */
  async makeBindReadOnly(target: string): Promise<void> {
    await this.run('mount', ['-o', 'remount,bind,ro', target], { timeoutMs: mountTimeoutMs });
  }

  /** Takes away every layer on the path; succeeds when there is none. */
  async unmount(path: string): Promise<void> {
    await this.unmountWith([], path);
  }

  /**
   * For a mount whose device is gone: it cannot write back anything, and
   * processes that still sit in it must not keep the path.
   */
  async detach(path: string): Promise<void> {
    await this.unmountWith(['-l'], path);
  }

  /** Takes away what is mounted on top there, and only that. */
  async unmountLayer(path: string, flags: readonly string[] = []): Promise<void> {
    for (let left = busyTries; ; left -= 1) {
      try {
        await this.run('umount', [...flags, path], { timeoutMs: unmountTimeoutMs });
        return;
      } catch (thrown) {
        if (left === 1 || !isBusy(thrown)) throw thrown;
        await delay(busyPauseMs);
      }
    }
  }

  /** Writes what is in the page cache back to the device. */
  async writeBack(path: string): Promise<void> {
    await this.run('sync', ['-f', path], { timeoutMs: unmountTimeoutMs });
  }

  private async unmountWith(flags: readonly string[], path: string): Promise<void> {
    const real = await kernelPath(path);
    for (let layer = 0; layer < mostLayers; layer += 1) {
      if ((await this.at(real)) === undefined) return;
      await this.unmountLayer(real, flags);
    }
    throw new PxError('internal', `"${path}" is still a mount point after ${mostLayers} unmounts`);
  }

  /** Bounded in time: a path on a device that no longer answers can block for good. */
  async inspect(path: string): Promise<PathState> {
    let timer: NodeJS.Timeout | undefined;
    const late = new Promise<never>((_resolve, reject) => {
      timer = setTimeout(
        () => reject(new PxError('unavailable', `"${path}" did not answer within 10 s`)),
        statTimeoutMs,
      );
    });
    try {
      return { kind: 'present', stats: await Promise.race([stat(path), late]) };
    } catch (thrown) {
      const code = (thrown as NodeJS.ErrnoException).code ?? '';
      if (code === 'ENOENT' || code === 'ENOTDIR') return { kind: 'missing' };
      if (corruptedCodes.includes(code)) return { kind: 'corrupted', code };
      throw thrown;
    } finally {
      clearTimeout(timer);
    }
  }

  async makeDirectory(path: string): Promise<void> {
    await mkdir(path, { recursive: true, mode: 0o750 });
  }

  /** What a device node is bound onto. */
  async makeFile(path: string): Promise<void> {
    await this.makeDirectory(dirname(path));
    await (await open(path, 'a', 0o640)).close();
  }

  /** Removes an empty directory or a file, never anything below: a mount could be there. */
  async removeTarget(path: string): Promise<void> {
    const state = await this.inspect(path);
    if (state.kind !== 'present') return;
    await (state.stats.isDirectory() ? rmdir(path) : unlink(path));
  }
}
