import { libc, outcome } from './libc.js';

/** Source: asm-generic/fcntl.h. O_DIRECT differs between x86 and arm64. */
export const OpenFlag = {
  RDONLY: 0,
  WRONLY: 1,
  RDWR: 2,
  CREAT: 0o100,
  EXCL: 0o200,
  TRUNC: 0o1000,
  NONBLOCK: 0o4000,
  DSYNC: 0o10000,
  DIRECT: process.arch === 'arm64' ? 0o200000 : 0o40000,
  DIRECTORY: process.arch === 'arm64' ? 0o40000 : 0o200000,
  CLOEXEC: 0o2000000,
} as const;

/** Source: linux/falloc.h. */
export const FallocateMode = { KEEP_SIZE: 1, PUNCH_HOLE: 2, ZERO_RANGE: 16 } as const;

const openCall = libc.func('open64', 'int', ['str', 'int', 'uint']) as (
  path: string,
  flags: number,
  mode: number,
) => number;
const closeCall = libc.func('close', 'int', ['int']) as (fd: number) => number;
const readCall = libc.func('read', 'intptr_t', ['int', 'uintptr_t', 'size_t']) as Transfer;
const writeCall = libc.func('write', 'intptr_t', ['int', 'uintptr_t', 'size_t']) as Transfer;
const positioned = ['int', 'uintptr_t', 'size_t', 'int64_t'];
const preadCall = libc.func('pread64', 'intptr_t', positioned) as PositionedTransfer;
const pwriteCall = libc.func('pwrite64', 'intptr_t', positioned) as PositionedTransfer;
const positionedVector = ['int', 'uintptr_t', 'int', 'int64_t'];
const pwritevCall = libc.func('pwritev64', 'intptr_t', positionedVector) as PositionedTransfer;
const fallocateCall = libc.func('fallocate64', 'int', ['int', 'int', 'int64_t', 'int64_t']) as (
  fd: number,
  mode: number,
  offset: number,
  length: number,
) => number;
const fdatasyncCall = libc.func('fdatasync', 'int', ['int']) as (fd: number) => number;
const fsyncCall = libc.func('fsync', 'int', ['int']) as (fd: number) => number;
const ftruncateCall = libc.func('ftruncate64', 'int', ['int', 'int64_t']) as (
  fd: number,
  length: number,
) => number;
const lseekCall = libc.func('lseek64', 'int64_t', ['int', 'int64_t', 'int']) as (
  fd: number,
  offset: number,
  whence: number,
) => number;
const fcntlCall = libc.func('fcntl64', 'int', ['int', 'int', 'intptr_t']) as (
  fd: number,
  command: number,
  argument: number,
) => number;

type Transfer = (fd: number, address: number, length: number) => number;
type PositionedTransfer = (fd: number, address: number, length: number, offset: number) => number;

/** A descriptor, or the negative errno. Close-on-exec is always set. */
export function openFile(path: string, flags: number, mode = 0o600): number {
  return outcome(openCall(path, flags | OpenFlag.CLOEXEC, mode));
}

export function closeFile(fd: number): number {
  return outcome(closeCall(fd));
}

/** `read(2)` into a native address: bytes read (may be fewer than asked), 0 at the end, or -errno. */
export function read(fd: number, address: number, length: number): number {
  return outcome(readCall(fd, address, length));
}

export function write(fd: number, address: number, length: number): number {
  return outcome(writeCall(fd, address, length));
}

/** `pread64`: bytes read, which may be fewer than asked for at the end of the file, or -errno. */
export function pread(fd: number, address: number, length: number, offset: number): number {
  return outcome(preadCall(fd, address, length, offset));
}

/** `pwrite64`: bytes written, or -errno. */
export function pwrite(fd: number, address: number, length: number, offset: number): number {
  return outcome(pwriteCall(fd, address, length, offset));
}

export function pwritev(fd: number, vector: number, count: number, offset: number): number {
  return outcome(pwritevCall(fd, vector, count, offset));
}

/** `fallocate(2)` with bits of `FallocateMode`: 0 or -errno. */
export function fallocate(fd: number, mode: number, offset: number, length: number): number {
  return outcome(fallocateCall(fd, mode, offset, length));
}

/** Gives the range's blocks back to the file system; it reads as zeroes, the size stays. */
export function punchHole(fd: number, offset: number, length: number): number {
  return fallocate(fd, FallocateMode.PUNCH_HOLE | FallocateMode.KEEP_SIZE, offset, length);
}

/** Blocks the thread until the data is stable: not for an I/O loop. */
export function fdatasync(fd: number): number {
  return outcome(fdatasyncCall(fd));
}

export function fsync(fd: number): number {
  return outcome(fsyncCall(fd));
}

export function ftruncate(fd: number, length: number): number {
  return outcome(ftruncateCall(fd, length));
}

/** The first byte at or after `offset` that is data, or -ENXIO when there is none. */
export function seekData(fd: number, offset: number): number {
  return outcome(lseekCall(fd, offset, 3));
}

/** The first byte at or after `offset` that is in a hole (the end of the file is one). */
export function seekHole(fd: number, offset: number): number {
  return outcome(lseekCall(fd, offset, 4));
}

/** The size of a file or block device. */
export function seekEnd(fd: number): number {
  return outcome(lseekCall(fd, 0, 2));
}

/** Sets or clears FD_CLOEXEC (F_SETFD 2). */
export function setCloseOnExec(fd: number, on: boolean): number {
  return outcome(fcntlCall(fd, 2, on ? 1 : 0));
}
