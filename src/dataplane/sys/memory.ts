import koffi from 'koffi';
import { ftruncate } from './files.js';
import { libc, must, outcome } from './libc.js';

/** Source: asm-generic/mman-common.h. */
const PROT_READ_WRITE = 3;
const MAP_SHARED = 1;
const MAP_PRIVATE = 2;
const MAP_ANONYMOUS = 0x20;
/** No swap is reserved: what is never touched costs nothing. */
const MAP_NORESERVE = 0x4000;

const MADV_DONTNEED = 4;
/** Punches a hole into the file behind a shared mapping. */
const MADV_REMOVE = 9;
const MFD_CLOEXEC = 1;

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
const memfdCall = libc.func('memfd_create', 'int', ['str', 'uint']) as (
  name: string,
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
  /** Of a file: pages survive the process, and are given back in another way. */
  readonly shared: boolean;
  private window: ArrayBuffer | undefined;

  constructor(address: number, byteLength: number, shared: boolean) {
    this.address = address;
    this.byteLength = byteLength;
    this.shared = shared;
  }

  /** Gives the pages of a range back to the kernel; they read as zeroes. */
  discard(offset: number, byteLength: number): void {
    const advice = this.shared ? MADV_REMOVE : MADV_DONTNEED;
    must(outcome(madviseCall(this.address + offset, byteLength, advice)), 'madvise');
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
  return new NativeMemory(address, length, false);
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
  return new NativeMemory(address, byteLength, true);
}

/**
 * A file that is memory and has no name: it lives as long as a descriptor of it
 * does, in whichever process. Answers the descriptor; throws when refused.
 */
export function createMemoryFile(name: string, byteLength: number): number {
  const fd = must(outcome(memfdCall(name, MFD_CLOEXEC)), 'memfd_create');
  must(ftruncate(fd, byteLength), 'sizing a memory file');
  return fd;
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
