import { readlinkSync } from 'node:fs';
import { closeFile, seekEnd } from '../sys/files.js';
import { createMemoryFile } from '../sys/memory.js';
import { pidfdGetFd, pidfdOpen } from '../sys/process.js';

const adoptedPrefix = 'memory:';

/** Memory files that outlive engines; see `memory.open`. */
export class HeldMemory {
  private readonly fds = new Map<string, number>();

  open(name: string, sizeBytes: number): number {
    const present = this.fds.get(name);
    // Another size is another layout: what lies in there cannot be read any more.
    if (present !== undefined && seekEnd(present) === sizeBytes) return present;
    if (present !== undefined) closeFile(present);
    const fd = createMemoryFile(`px-${name}`, sizeBytes);
    this.fds.set(name, fd);
    return fd;
  }

  /** Gets them back from an engine that outlived the holder before this one. */
  recover(adopted: Readonly<Record<string, number>>, enginePid: number): void {
    const pidfd = pidfdOpen(enginePid);
    if (pidfd < 0) return;
    for (const [key, theirs] of Object.entries(adopted)) {
      if (!key.startsWith(adoptedPrefix) || !isMemoryFile(enginePid, theirs)) continue;
      const fd = pidfdGetFd(pidfd, theirs);
      if (fd >= 0) this.fds.set(key.slice(adoptedPrefix.length), fd);
    }
    closeFile(pidfd);
  }
}

export function memoryKey(name: string): string {
  return adoptedPrefix + name;
}

function isMemoryFile(pid: number, fd: number): boolean {
  try {
    return readlinkSync(`/proc/${pid}/fd/${fd}`).startsWith('/memfd:px-');
  } catch {
    return false;
  }
}
