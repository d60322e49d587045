/**
 * The part of the kernel's FUSE protocol that one regular file needs.
 * Source of every number: the kernel's uapi linux/fuse.h, protocol 7.31 and up.
 *
 * A request is read so that the payload of a WRITE begins exactly at the slot's
 * payload: its `fuse_in_header` (40 bytes) and `fuse_write_in` (40 bytes) lie in
 * front. An answer's `fuse_out_header` (16 bytes) is likewise written directly in
 * front of the payload, so reading a request and answering it is one call each.
 */
export const Opcode = {
  FORGET: 2,
  GETATTR: 3,
  SETATTR: 4,
  OPEN: 14,
  READ: 15,
  WRITE: 16,
  STATFS: 17,
  RELEASE: 18,
  FSYNC: 20,
  FLUSH: 25,
  INIT: 26,
  ACCESS: 34,
  INTERRUPT: 36,
  DESTROY: 38,
  FALLOCATE: 43,
  BATCH_FORGET: 42,
  LSEEK: 46,
} as const;

/** `fuse_in_header` plus the longest fixed body, that of WRITE. */
export const requestBytes = 80;
export const outHeaderBytes = 16;

/** Where the words of a request lie, in 32-bit words from its first byte. */
export const Word = {
  length: 0,
  opcode: 1,
  uniqueLow: 2,
  uniqueHigh: 3,
  /** The opcode's own structure. */
  body: 10,
} as const;

/** INIT flags below bit 32. */
export const InitFlag = {
  ASYNC_READ: 1 << 0,
  BIG_WRITES: 1 << 5,
  /** Direct I/O of a loop device is then asynchronous: the queue depth reaches us. */
  ASYNC_DIO: 1 << 15,
  MAX_PAGES: 1 << 22,
  /** The second word of flags is valid. */
  INIT_EXT: 1 << 30,
} as const;

/** INIT flags from bit 32 on: the kernel (6.9 and later) can send unanswered requests again. */
export const InitFlag2 = { HAS_RESEND: 1 << 7 } as const;

/**
 * Direct I/O keeps the page cache out of the way, and writes need not wait for
 * each other: without the second flag every write takes the inode's lock.
 */
export const OpenReply = { DIRECT_IO: 1 << 0, NO_FLUSH: 1 << 5, PARALLEL_WRITES: 1 << 6 } as const;

export const FallocateMode = { KEEP_SIZE: 1, PUNCH_HOLE: 2, ZERO_RANGE: 16 } as const;

/** SETATTR's `valid` bit for a change of the size. */
export const SETATTR_SIZE = 1 << 3;

export const seekData = 3;
export const seekHole = 4;

const notifyResend = 7;

const S_IFREG = 0o100000;

/** Requests of the loop driver that may be on their way at once (its own limit is 128). */
const maxBackground = 256;
const maxPages = 256;
export const maxWriteBytes = maxPages * 4096;

/** The newest protocol that this code was written for; a newer kernel falls back to it. */
const protocolMajor = 7;
const protocolMinor = 40;

/** Fills `fuse_init_out` (64 bytes at word `at`) from the kernel's `fuse_init_in`. */
export function putInitReply(words: Uint32Array, body: number, at: number): number {
  const kernelMinor = words[body + 1] ?? 0;
  const readahead = words[body + 2] ?? 0;
  const offered = words[body + 3] ?? 0;
  // Before 7.36 the structure ended after the first word of flags.
  const offered2 = (offered & InitFlag.INIT_EXT) !== 0 ? (words[body + 4] ?? 0) : 0;
  const wanted =
    InitFlag.ASYNC_READ |
    InitFlag.BIG_WRITES |
    InitFlag.ASYNC_DIO |
    InitFlag.MAX_PAGES |
    InitFlag.INIT_EXT;
  words.fill(0, at, at + 16);
  words[at] = protocolMajor;
  words[at + 1] = Math.min(kernelMinor, protocolMinor);
  words[at + 2] = readahead;
  words[at + 3] = offered & wanted;
  // max_background and congestion_threshold, 16 bits each.
  words[at + 4] = maxBackground | (((maxBackground * 3) / 4) << 16);
  words[at + 5] = maxWriteBytes;
  words[at + 6] = 1;
  words[at + 7] = maxPages;
  words[at + 8] = offered2 & InitFlag2.HAS_RESEND;
  return 64;
}

/** `fuse_attr_out`, 104 bytes; valid for no time at all, so that a growth is seen at once. */
export function putAttributes(words: Uint32Array, at: number, file: FileShape): number {
  words.fill(0, at, at + 26);
  words[at + 4] = 1;
  putU64(words, at + 6, file.sizeBytes);
  putU64(words, at + 8, Math.ceil(file.sizeBytes / 512));
  words[at + 19] = S_IFREG | (file.readOnly ? 0o400 : 0o600);
  words[at + 20] = 1;
  words[at + 24] = 4096;
  return 104;
}

export interface FileShape {
  readonly sizeBytes: number;
  readonly readOnly: boolean;
}

/** `fuse_statfs_out`, 80 bytes. The loop driver takes the block size as the discard granularity. */
export function putStatfs(words: Uint32Array, at: number, file: FileShape): number {
  words.fill(0, at, at + 20);
  putU64(words, at, Math.ceil(file.sizeBytes / 4096));
  words[at + 10] = 4096;
  words[at + 11] = 255;
  words[at + 12] = 4096;
  return 80;
}

/** `fuse_open_out`, 16 bytes. */
export function putOpenReply(words: Uint32Array, at: number): number {
  words.fill(0, at, at + 4);
  words[at + 2] = OpenReply.DIRECT_IO | OpenReply.NO_FLUSH | OpenReply.PARALLEL_WRITES;
  return 16;
}

/** The notification that makes the kernel send every unanswered request again. */
export function putResendNotification(words: Uint32Array, at: number): number {
  words[at] = outHeaderBytes;
  words[at + 1] = notifyResend;
  words[at + 2] = 0;
  words[at + 3] = 0;
  return outHeaderBytes;
}

export function getU64(words: Uint32Array, at: number): number {
  return (words[at] ?? 0) + (words[at + 1] ?? 0) * 4294967296;
}

export function putU64(words: Uint32Array, at: number, value: number): void {
  words[at] = value >>> 0;
  words[at + 1] = Math.floor(value / 4294967296);
}
