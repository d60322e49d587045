import {
  closeSync,
  fdatasyncSync,
  fsyncSync,
  mkdirSync,
  openSync,
  readFileSync,
  renameSync,
  writeSync,
} from 'node:fs';
import { dirname, join } from 'node:path';
import { PxError } from '../../kernel/errors.js';

/**
 * Files that are either the old or the new after a power cut: written beside,
 * fsynced, renamed, and the directory fsynced (a rename is durable only then).
 */
export function writeDurably(path: string, content: string | Uint8Array): void {
  const temporary = `${path}.tmp`;
  const fd = openSync(temporary, 'w', 0o600);
  try {
    const bytes = typeof content === 'string' ? Buffer.from(content) : content;
    let written = 0;
    while (written < bytes.length) written += writeSync(fd, bytes, written);
    fsyncSync(fd);
  } finally {
    closeSync(fd);
  }
  renameSync(temporary, path);
  syncDirectory(dirname(path));
}

/** Makes what was created, renamed or removed in the directory durable. */
export function syncDirectory(path: string): void {
  const fd = openSync(path, 'r');
  try {
    fsyncSync(fd);
  } finally {
    closeSync(fd);
  }
}

/** Makes the directory `parts` below `base` and every name on the way durable. */
export function makeDirectoryDurably(base: string, ...parts: readonly string[]): string {
  let path = base;
  for (const part of parts) {
    const parent = path;
    path = join(path, part);
    try {
      mkdirSync(path, 0o700);
    } catch (error) {
      if (!hasCode(error, 'EEXIST')) throw error;
    }
    // Also when it was there: the process that made it may have died before this.
    syncDirectory(parent);
  }
  return path;
}

/** The file's text, or undefined when there is no such file. */
export function readIfPresent(path: string): string | undefined {
  try {
    return readFileSync(path, 'utf8');
  } catch (error) {
    if (hasCode(error, 'ENOENT') || hasCode(error, 'ENOTDIR')) return undefined;
    throw error;
  }
}

export function hasCode(thrown: unknown, code: string): boolean {
  return (thrown as NodeJS.ErrnoException | undefined)?.code === code;
}

/** The positive errno that fits an error of node:fs or of ours; EIO (5) for anything else. */
export function errnoOf(thrown: unknown): number {
  if (thrown instanceof PxError) {
    if (thrown.code === 'not_found') return 2;
    if (thrown.code === 'already_exists') return 17;
    if (thrown.code === 'unavailable') return 19;
    return thrown.code === 'invalid_argument' ? 22 : 5;
  }
  const errno = (thrown as NodeJS.ErrnoException | undefined)?.errno;
  return typeof errno === 'number' ? Math.abs(errno) : 5;
}

/** Writes zeroes, not a hole: later overwrites then never need a block (ENOSPC) nor a log force. */
export function writeZeroFile(path: string, byteLength: number): void {
  const fd = openSync(path, 'w', 0o600);
  try {
    const zeroes = Buffer.alloc(Math.min(byteLength, 65536));
    for (let offset = 0; offset < byteLength;) {
      const length = Math.min(zeroes.length, byteLength - offset);
      offset += writeSync(fd, zeroes, 0, length, offset);
    }
    fdatasyncSync(fd);
  } finally {
    closeSync(fd);
  }
}
