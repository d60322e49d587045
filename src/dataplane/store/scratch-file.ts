import { mkdirSync, readFileSync, renameSync, rmSync } from 'node:fs';
import { join } from 'node:path';
import { closeFile, fallocate, openFile, OpenFlag } from '../sys/files.js';
import { must } from '../sys/libc.js';
import { mapFile, pageBytes } from '../sys/memory.js';

export interface Scratch {
  readonly numbers: Float64Array;
  readonly intact: boolean;
  /**
   * One number: 1 when a sync of this replica failed in this boot. It needs no
   * disk to be noted, and no longer life than the page cache that it speaks of.
   */
  readonly failure: Float64Array;
}

/** Where in the header page the failure is noted. */
const failureAt = 2048;

/**
 * Memory that outlives the process, not the machine: a mapped file whose pages
 * the kernel keeps. A header page says which boot it belongs to, so that a file
 * on a disk, whose last pages a power cut may have lost, is not believed later.
 */
export function openScratch(
  runDir: string,
  replicaId: string,
  length: number,
  bootId: string,
): Scratch {
  const directory = join(runDir, 'scratch');
  mkdirSync(directory, { recursive: true, mode: 0o700 });
  const path = join(directory, replicaId);
  const header = `px scratch 1 ${bootId} ${length}\n`;
  const byteLength = pageBytes + length * 8;
  const intact = readHeader(path, header.length) === header;
  if (!intact) create(path, header, byteLength);
  const fd = must(openFile(path, OpenFlag.RDWR), `opening ${path}`);
  try {
    const memory = mapFile(fd, byteLength);
    return {
      numbers: new Float64Array(memory.buffer, pageBytes, length),
      intact,
      failure: new Float64Array(memory.buffer, failureAt, 1),
    };
  } finally {
    closeFile(fd);
  }
}

/** With the replica goes its scratch. */
export function removeScratch(runDir: string, replicaId: string): void {
  rmSync(join(runDir, 'scratch', replicaId), { force: true });
}

function readHeader(path: string, length: number): string {
  try {
    return readFileSync(path).subarray(0, length).toString();
  } catch {
    return '';
  }
}

function create(path: string, header: string, byteLength: number): void {
  const temporary = `${path}.tmp`;
  rmSync(temporary, { force: true });
  const flags = OpenFlag.RDWR | OpenFlag.CREAT | OpenFlag.EXCL;
  const fd = must(openFile(temporary, flags), `creating ${temporary}`);
  try {
    // Its blocks are taken now: a store to a mapped hole of a full file system ends the process.
    must(fallocate(fd, 0, 0, byteLength), `allocating ${temporary}`);
    const memory = mapFile(fd, byteLength);
    Buffer.from(memory.buffer).write(header);
    memory.unmap();
  } finally {
    closeFile(fd);
  }
  renameSync(temporary, path);
}
