import { readdir, readFile, rm, rmdir } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import { toPxError } from '../../kernel/errors.js';
import { delay } from '../../platform/monotonic.js';
import { findVolume } from '../px-volumes.js';
import { ownNodeId, type NodeContext } from './context.js';
import { removeStage } from './stage.js';

/** The kubelet's names: makeDeviceMountPath and saveVolumeData of its CSI plugin. */
const mountName = 'globalmount';
const dataName = 'vol_data.json';
const firstPauseMs = 1_000;
const longestPauseMs = 60_000;

/** Where the kubelet has a directory for each volume that it stages with a driver. */
export function stagingDirectory(kubeletSocketPath: string, driverName: string): string {
  const plugins = dirname(dirname(kubeletSocketPath));
  return join(plugins, 'kubernetes.io/csi', driverName);
}

/**
 * A kubelet that dies between the end of a pod and its call of NodeUnstageVolume
 * has forgotten the volume when it is back: it looks for volumes of pods, and
 * there is none left. The volume would stay mounted and attached, and could
 * neither be used elsewhere nor be deleted. So we unstage it ourselves, once it
 * is reserved for this node no more: the attach-detach controller has seen then
 * that nobody here uses it, and the kubelet stages nothing that is not attached.
 */
export class AbandonedStages {
  private readonly context: NodeContext;
  private readonly directory: string;
  /** Ends the watch that an earlier start of the kubelet began. */
  private watching = new AbortController();

  constructor(context: NodeContext, directory: string) {
    this.context = context;
    this.directory = directory;
  }

  /** To be called when the kubelet has started: looks until every stage has a pod, or is gone. */
  clear(signal: AbortSignal): void {
    this.watching.abort();
    this.watching = new AbortController();
    void this.watch(AbortSignal.any([signal, this.watching.signal]));
  }

  private async watch(signal: AbortSignal): Promise<void> {
    let pauseMs = firstPauseMs;
    while (!signal.aborted && (await this.look()) > 0) {
      // Nothing tells us of the reservation's end.
      await delay(pauseMs);
      pauseMs = Math.min(2 * pauseMs, longestPauseMs);
    }
  }

  /** Clears what is abandoned, and answers how many stages may still turn out to be. */
  async look(): Promise<number> {
    const names = await readdir(this.directory).catch(() => []);
    const kept = await Promise.all(
      names.map((name) =>
        this.clearStage(join(this.directory, name)).catch((thrown: unknown) => {
          const reason = toPxError(thrown).message;
          this.context.logger.warn('a stage without pod is not cleared', { name, reason });
          return true;
        }),
      ),
    );
    return kept.filter((each) => each).length;
  }

  /** Whether it has to be looked at again. */
  private async clearStage(directory: string): Promise<boolean> {
    const { context } = this;
    const path = join(directory, mountName);
    const volumeId = await readVolumeId(join(directory, dataName));
    if (volumeId === undefined || (await this.hasPods(path))) return false;
    return context.locks.run(volumeId, 'clearing what the kubelet forgot', async () => {
      const volume = await findVolume(context.px, volumeId);
      if (volume !== undefined && volume.published_on === (await ownNodeId(context))) return true;
      await removeStage(context, volume, path);
      await removeDirectory(directory);
      context.logger.info('a stage that the kubelet forgot is cleared', { volumeId, path });
      return false;
    });
  }

  private async hasPods(path: string): Promise<boolean> {
    const { mounter } = this.context;
    const staged = await mounter.at(path);
    if (staged === undefined) return false;
    const { device } = staged;
    return (await mounter.list()).some(
      (entry) => entry.device === device && entry.mountPoint !== staged.mountPoint,
    );
  }
}

async function readVolumeId(file: string): Promise<string | undefined> {
  try {
    const { volumeHandle } = JSON.parse(await readFile(file, 'utf8')) as { volumeHandle?: unknown };
    return typeof volumeHandle === 'string' ? volumeHandle : undefined;
  } catch {
    // Not written yet, or only half: the kubelet can't use it either.
    return undefined;
  }
}

/** Only what is empty: what somebody wrote below a mount is not ours to delete. */
async function removeDirectory(directory: string): Promise<void> {
  await rmdir(join(directory, mountName)).catch((error: unknown) => {
    if ((error as NodeJS.ErrnoException).code !== 'ENOENT') throw error;
  });
  await rm(join(directory, dataName), { force: true });
  await rmdir(directory);
}
