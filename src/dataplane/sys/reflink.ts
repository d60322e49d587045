import { libc, outcome } from './libc.js';

/** Source: linux/fs.h: _IOW(0x94, 9, int). */
const FICLONE = 0x40049409;
/** Source: linux/fadvise.h. */
const POSIX_FADV_DONTNEED = 4;

const ioctlCall = libc.func('ioctl', 'int', ['int', 'ulong', 'intptr_t']) as (
  fd: number,
  request: number,
  argument: number,
) => number;
const copyRangeCall = libc.func('copy_file_range', 'intptr_t', [
  'int',
  'uintptr_t',
  'int',
  'uintptr_t',
  'size_t',
  'uint',
]) as (
  source: number,
  sourceOffset: number,
  target: number,
  targetOffset: number,
  length: number,
  flags: number,
) => number;
const adviseCall = libc.func('posix_fadvise64', 'int', ['int', 'int64_t', 'int64_t', 'int']) as (
  fd: number,
  offset: number,
  length: number,
  advice: number,
) => number;
const lseekCall = libc.func('lseek64', 'int64_t', ['int', 'int64_t', 'int']) as (
  fd: number,
  offset: number,
  whence: number,
) => number;

/**
 * Makes `target` share all of `source`'s blocks (copy on write). The kernel
 * writes the source's dirty pages back first, and keeps it locked meanwhile.
 */
export function cloneFile(source: number, target: number): number {
  return outcome(ioctlCall(target, FICLONE, source));
}

/** Copies a range between two files inside the kernel: bytes copied or -errno. */
export function copyRange(source: number, target: number, offset: number, length: number): number {
  const sought = outcome(lseekCall(source, offset, 0));
  if (sought < 0) return sought;
  const placed = outcome(lseekCall(target, offset, 0));
  if (placed < 0) return placed;
  return outcome(copyRangeCall(source, 0, target, 0, length, 0));
}

/** Drops the file's clean pages, so that the next read asks the disk. */
export function dropCachedPages(fd: number): number {
  // This one returns the error itself, not -1 (posix_fadvise(2)).
  return -adviseCall(fd, 0, 0, POSIX_FADV_DONTNEED);
}
