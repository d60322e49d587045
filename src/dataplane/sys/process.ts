import koffi from 'koffi';
import { libc, outcome } from './libc.js';
import { setCloseOnExec } from './files.js';

/** System call numbers that are the same on every architecture. Source: asm-generic/unistd.h. */
const SYS_pidfd_open = 434;
const SYS_pidfd_getfd = 438;
const PR_SET_IO_FLUSHER = 57;

const syscall3 = libc.func('syscall', 'intptr_t', [
  'intptr_t',
  'intptr_t',
  'intptr_t',
  'intptr_t',
]) as (number: number, a: number, b: number, c: number) => number;
const prctlCall = libc.func('prctl', 'int', [
  'int',
  'uintptr_t',
  'uintptr_t',
  'uintptr_t',
  'uintptr_t',
]) as (option: number, a: number, b: number, c: number, d: number) => number;
const flockCall = libc.func('flock', 'int', ['int', 'int']) as (
  fd: number,
  operation: number,
) => number;

/** A descriptor of a process: readable when it ends. */
export function pidfdOpen(pid: number): number {
  return outcome(syscall3(SYS_pidfd_open, pid, 0, 0));
}

/** A duplicate of another process's descriptor (needs the right to trace it). */
export function pidfdGetFd(pidfd: number, fd: number): number {
  const result = outcome(syscall3(SYS_pidfd_getfd, pidfd, fd, 0));
  if (result >= 0) setCloseOnExec(result, true);
  return result;
}

/**
 * Tells the kernel that this process serves a block device, so that memory
 * reclaim never waits in it for its own writes. Best effort: without
 * CAP_SYS_RESOURCE it is refused.
 */
export function setIoFlusher(): number {
  return outcome(prctlCall(PR_SET_IO_FLUSHER, 1, 0, 0, 0));
}

/** Takes an exclusive lock without waiting: -EAGAIN when another open file has it. */
export function lockExclusively(fd: number): number {
  return outcome(flockCall(fd, 2 | 4));
}

/** Calls back once, on Node's event loop, when the process of the pidfd has ended. */
export function onProcessEnd(pidfd: number, ended: () => void): { close(): void } {
  const handle = koffi.node.poll(pidfd, { readable: true }, () => {
    handle.close();
    ended();
  });
  return { close: () => handle.close() };
}
