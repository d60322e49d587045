import koffi from 'koffi';

/**
 * The C library, and the one convention of this folder: a system call answers
 * with its result or with the negative errno, never by throwing, because the
 * I/O loops meet EAGAIN all the time and an exception costs more than the call.
 *
 * Addresses are native addresses as Numbers (user space has 47 or 48 bits of
 * them), so that no call allocates. A call costs about 0.1 microseconds.
 */
export const libc = koffi.load('libc.so.6');

const readErrno = koffi.errno;

/** `-1` becomes the negative errno. Must follow the call at once. */
export function outcome(result: number): number {
  return result === -1 ? -readErrno() : result;
}

/** Linux errno values, positive. Source: asm-generic/errno-base.h and errno.h. */
export const Errno = {
  EPERM: 1,
  ENOENT: 2,
  ESRCH: 3,
  EINTR: 4,
  EIO: 5,
  ENXIO: 6,
  EBADF: 9,
  EAGAIN: 11,
  ENOMEM: 12,
  EBUSY: 16,
  EEXIST: 17,
  ENODEV: 19,
  EINVAL: 22,
  ENOSPC: 28,
  EROFS: 30,
  EPIPE: 32,
  ENOSYS: 38,
  ENODATA: 61,
  EOPNOTSUPP: 95,
  EADDRINUSE: 98,
  ECONNRESET: 104,
  ENOTCONN: 107,
  ETIMEDOUT: 110,
  ECONNREFUSED: 111,
  EINPROGRESS: 115,
} as const;

/** What a person should read for a negative result. */
export function errnoName(result: number): string {
  const value = Math.abs(result);
  for (const [name, code] of Object.entries(Errno)) if (code === value) return name;
  for (const [name, code] of Object.entries(koffi.os.errno)) if (code === value) return name;
  return `errno ${value}`;
}

/** Throws for a negative result: for set-up paths, where an exception is the right answer. */
export function must(result: number, what: string): number {
  if (result < 0) throw new SystemCallError(what, -result);
  return result;
}

export class SystemCallError extends Error {
  /** The positive errno. */
  readonly errno: number;

  constructor(what: string, errno: number) {
    super(`${what}: ${errnoName(errno)}`);
    this.name = 'SystemCallError';
    this.errno = errno;
  }
}
