import { libc, outcome } from './libc.js';

/** Source: linux/mount.h. */
export const MountFlag = { RDONLY: 1, NOSUID: 2, NODEV: 4, NOEXEC: 8 } as const;
const MNT_FORCE = 1;
const MNT_DETACH = 2;
const UMOUNT_NOFOLLOW = 8;

const mountCall = libc.func('mount', 'int', ['str', 'str', 'str', 'size_t', 'str']) as (
  source: string,
  target: string,
  type: string,
  flags: number,
  data: string,
) => number;
const umountCall = libc.func('umount2', 'int', ['str', 'int']) as (
  target: string,
  flags: number,
) => number;

/** `mount(2)`: 0 or -errno. */
export function mount(
  source: string,
  target: string,
  type: string,
  flags: number,
  data: string,
): number {
  return outcome(mountCall(source, target, type, flags, data));
}

/** Takes the mount out of the tree at once; it ends when its last user does (`umount -l`). */
export function unmountLazily(target: string): number {
  return outcome(umountCall(target, MNT_DETACH | UMOUNT_NOFOLLOW));
}

/**
 * Ends a FUSE connection whatever hangs on it: MNT_FORCE makes the kernel abort it, and every
 * request fails with an I/O error. The mount stays when it is in use (-EBUSY).
 */
export function abortFuseMount(target: string): number {
  return outcome(umountCall(target, MNT_FORCE | UMOUNT_NOFOLLOW));
}
