import { join } from 'node:path';
import { callJsonLines } from '../../platform/json-lines.js';
import { closeFile } from '../sys/files.js';
import { must } from '../sys/libc.js';
import { pidfdGetFd, pidfdOpen } from '../sys/process.js';
import { memoryKey } from './held-memory.js';
import { holderSocketName } from './holder-api.js';
import type { HeldVolume, HolderMethods, HolderStatus, JsonObject } from './holder-api.js';

type Method = keyof HolderMethods;

/** Longer than the bound on `losetup` and its retries within the holder. */
const defaultTimeoutMs = 30_000;

/** How px-node and the engine speak to the holder; no connection is kept. */
export class HolderClient {
  private readonly path: string;

  constructor(runDir: string) {
    this.path = join(runDir, holderSocketName);
  }

  ping(timeoutMs = 2_000): Promise<HolderStatus> {
    return this.call('holder.ping', {}, timeoutMs);
  }

  async call<M extends Method>(
    method: M,
    params: HolderMethods[M]['params'],
    timeoutMs = defaultTimeoutMs,
  ): Promise<HolderMethods[M]['result']> {
    // Both sides are of one build; what comes back was made from the same types.
    return (await callJsonLines(this.path, method, params, timeoutMs)) as Promise<
      HolderMethods[M]['result']
    >;
  }

  /** Holds the volume and answers this process's own copy of its descriptor. */
  async hold(volumeId: string, settings: JsonObject): Promise<FetchedVolume> {
    const volume = await this.call('volume.hold', { volumeId, settings });
    const [fetched] = await this.fetch([volume]);
    if (fetched === undefined) throw new Error('the holder held nothing');
    return fetched;
  }

  /** Every held volume with this process's own copies: what a restarted engine begins with. */
  async fetchAll(): Promise<FetchedVolume[]> {
    const { volumes } = await this.call('volume.list', {});
    return this.fetch(volumes);
  }

  /** This process's own descriptor of memory that outlives it; map it with `mapFile`. */
  async openMemory(name: string, sizeBytes: number): Promise<number> {
    const { fd } = await this.call('memory.open', { name, sizeBytes });
    const [own = -1] = await this.copyDescriptors([fd]);
    await this.call('engine.adopted', { pid: process.pid, fds: { [memoryKey(name)]: own } });
    return own;
  }

  private async fetch(volumes: readonly HeldVolume[]): Promise<FetchedVolume[]> {
    if (volumes.length === 0) return [];
    const own = await this.copyDescriptors(volumes.map(({ fd }) => fd));
    const fetched = volumes.map((volume, index) => ({ ...volume, ownFd: own[index] ?? -1 }));
    const fds = Object.fromEntries(fetched.map(({ volumeId, ownFd }) => [volumeId, ownFd]));
    await this.call('engine.adopted', { pid: process.pid, fds });
    return fetched;
  }

  private async copyDescriptors(theirs: readonly number[]): Promise<number[]> {
    const { pid } = await this.ping();
    const pidfd = must(pidfdOpen(pid), 'opening the holder');
    try {
      return theirs.map((fd) => must(pidfdGetFd(pidfd, fd), `copying the descriptor ${fd}`));
    } finally {
      closeFile(pidfd);
    }
  }
}

export interface FetchedVolume extends HeldVolume {
  /** The descriptor's number in this process. The one who fetched it closes it. */
  readonly ownFd: number;
}
