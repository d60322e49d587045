/**
 * The vocabulary that the coordinator, the replicas and the frontends share.
 *
 * Hot-path requests live in a slot table of typed arrays (no object per I/O);
 * everything rarer is a `ControlMessage`.
 */
export const OpKind = { read: 1, write: 2, zero: 3, flush: 4 } as const;
export type OpKind = (typeof OpKind)[keyof typeof OpKind];

/** Linux errno values, positive; 0 is success. Source: asm-generic/errno.h. */
export const Status = {
  ok: 0,
  ioError: 5,
  invalid: 22,
  noSpace: 28,
  readOnly: 30,
  /** ESTALE: the epoch of the asker is over. */
  fenced: 116,
} as const;

/** The largest payload of one read or write; longer requests are split by the frontend. */
export const maxIoBytes = 1024 * 1024;

/** The sizes that the protocol works in; the simulation uses tiny ones. */
export interface Geometry {
  /** Dirty marks cover chunks of this size: one bit each, durable before the first write. */
  readonly chunkBytes: number;
  /** Resync compares and copies blocks of this size; divides `chunkBytes`. */
  readonly hashBlockBytes: number;
  /** The largest range of one `hash` message: it bounds how long an I/O thread is busy. */
  readonly maxHashBytes: number;
}

export const productionGeometry: Geometry = {
  chunkBytes: 4 * 1024 * 1024,
  hashBlockBytes: 64 * 1024,
  maxHashBytes: 1024 * 1024,
};

/** SHA-256, but for a block of nothing but zeroes, whose digest is all zero bytes by convention. */
export const digestBytes = 32;

/**
 * The requests in flight on one I/O thread. A slot is an index; its payload is
 * `maxIoBytes` long and lies at `address(slot)` (a native address in production,
 * an offset into the simulated memory in the simulation: the core only hands it on).
 */
export interface SlotTable {
  readonly capacity: number;
  readonly kind: Uint8Array;
  /** Bytes from the start of the volume; always a safe integer. */
  readonly offset: Float64Array;
  /** Bytes; at most `maxIoBytes` but for `zero`, which may span the volume. */
  readonly length: Float64Array;
  /** The coordinator's number of a mutation, rising by one within an epoch. */
  readonly seq: Float64Array;
  address(slot: number): number;
  /** A free slot, or -1. */
  acquire(): number;
  release(slot: number): void;
}
