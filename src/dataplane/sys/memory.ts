import koffi from 'koffi';
import { libc, must, outcome } from './libc.js';

/** Source: asm-generic/mman-common.h. */
const PROT_READ_WRITE = 3;
const MAP_SHARED = 1;
const MAP_PRIVATE = 2;
const MAP_ANONYMOUS = 0x20;
/** No swap is reserved: what is never touched costs nothing. */
const MAP_NORESERVE = 0x4000;

export const pageBytes = 4096;

const mmapCall = libc.func('mmap64', 'intptr_t', [
  'uintptr_t',
  'size_t',
  'int',
  'int',
  'int',
  'int64_t',
]) as (
  hint: number,
  length: number,
  protection: number,
  flags: number,
  fd: number,
  offset: number,
) => number;
const munmapCall = libc.func('munmap', 'int', ['uintptr_t', 'size_t']) as (
  address: number,
  length: number,
) => number;
const madviseCall = libc.func('madvise', 'int', ['uintptr_t', 'size_t', 'int']) as (
  address: number,
  length: number,
  advice: number,
) => number;
const msyncCall = libc.func('msync', 'int', ['uintptr_t', 'size_t', 'int']) as (
  address: number,
  length: number,
  flags: number,
) => number;
const moveCall = libc.func('memmove', 'intptr_t', ['uintptr_t', 'uintptr_t', 'size_t']) as (
  target: number,
  source: number,
  length: number,
) => number;
const setCall = libc.func('memset', 'intptr_t', ['uintptr_t', 'int', 'size_t']) as (
  target: number,
  value: number,
  length: number,
) => number;

/**
 * Memory at a known native address, page-aligned, also seen by JavaScript.
 *
 * `buffer` is a window on the native memory, not a copy. After `unmap` any
 * access through the buffer ends the process, so whoever unmaps must be the
 * last user. Long-lived memory is simply never unmapped.
 */
export class NativeMemory {
  readonly address: number;
  readonly byteLength: number;
  private window: ArrayBuffer | undefined;

  constructor(address: number, byteLength: number) {
    this.address = address;
    this.byteLength = byteLength;
  }

  /** Made at the first use: a window counts as external memory for the garbage collector. */
  get buffer(): ArrayBuffer {
    this.window ??= koffi.view(this.address, this.byteLength);
    return this.window;
  }

  unmap(): void {
    must(outcome(munmapCall(this.address, this.byteLength)), 'munmap');
  }
}

/** Zeroed, page-aligned memory of this process; pages cost nothing until they are touched. */
export function allocateMemory(byteLength: number): NativeMemory {
  const length = Math.ceil(byteLength / pageBytes) * pageBytes;
  const flags = MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE;
  const address = must(outcome(mmapCall(0, length, PROT_READ_WRITE, flags, -1, 0)), 'mmap');
  return new NativeMemory(address, length);
}

/**
 * Maps a file (which must already be long enough) MAP_SHARED: what is stored
 * survives the process, and on tmpfs the file needs no disk. The descriptor may
 * be closed afterwards.
 */
export function mapFile(fd: number, byteLength: number, offset = 0): NativeMemory {
  const address = must(
    outcome(mmapCall(0, byteLength, PROT_READ_WRITE, MAP_SHARED, fd, offset)),
    'mmap of a file',
  );
  return new NativeMemory(address, byteLength);
}

/** Gives the pages of anonymous memory back to the kernel (MADV_DONTNEED); they read as zeroes. */
export function discardPages(address: number, byteLength: number): number {
  return outcome(madviseCall(address, byteLength, 4));
}

/** Waits until a file mapping's range is on its file system (MS_SYNC). */
export function syncMapping(address: number, byteLength: number): number {
  return outcome(msyncCall(address, byteLength, 4));
}

export function copyMemory(target: number, source: number, byteLength: number): void {
  moveCall(target, source, byteLength);
}

export function fillMemory(target: number, value: number, byteLength: number): void {
  setCall(target, value, byteLength);
}

/** The native address of a TypedArray's first byte; its memory must not be detached or moved. */
export function addressOf(array: Uint8Array): number {
  return Number(koffi.address(array));
}

/**
 * An array of `struct iovec` for readv, writev, sendmsg: two 64-bit words each,
 * written as Numbers, so that setting an entry allocates nothing.
 */
export class IoVector {
  readonly address: number;
  readonly capacity: number;
  private readonly words: Uint32Array;

  constructor(capacity: number) {
    const memory = allocateMemory(capacity * 16);
    this.address = memory.address;
    this.capacity = capacity;
    this.words = new Uint32Array(memory.buffer, 0, capacity * 4);
  }

  set(index: number, address: number, length: number): void {
    const words = this.words;
    const word = index * 4;
    words[word] = address >>> 0;
    words[word + 1] = (address / 4294967296) >>> 0;
    words[word + 2] = length >>> 0;
    words[word + 3] = (length / 4294967296) >>> 0;
  }

  addressOf(index: number): number {
    return this.address + index * 16;
  }
}
