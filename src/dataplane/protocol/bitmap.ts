/** Bitmaps of chunks: one bit a chunk, bit 0 of byte 0 first. */

export function bitmapBytes(sizeBytes: number, chunkBytes: number): number {
  return Math.ceil(Math.ceil(sizeBytes / chunkBytes) / 8);
}

export function getBit(bitmap: Uint8Array, index: number): boolean {
  return (bitmap[index >>> 3] & (1 << (index & 7))) !== 0;
}

/** Sets the bits of every chunk that the range touches. */
export function setRange(
  bitmap: Uint8Array,
  chunkBytes: number,
  offset: number,
  length: number,
): void {
  const last = Math.floor((offset + length - 1) / chunkBytes);
  for (let chunk = Math.floor(offset / chunkBytes); chunk <= last; chunk += 1) {
    bitmap[chunk >>> 3] |= 1 << (chunk & 7);
  }
}

export function hasRange(
  bitmap: Uint8Array,
  chunkBytes: number,
  offset: number,
  length: number,
): boolean {
  const last = Math.floor((offset + length - 1) / chunkBytes);
  for (let chunk = Math.floor(offset / chunkBytes); chunk <= last; chunk += 1) {
    if ((bitmap[chunk >>> 3] & (1 << (chunk & 7))) === 0) return false;
  }
  return true;
}

export function isEmpty(bitmap: Uint8Array): boolean {
  for (let index = 0; index < bitmap.length; index += 1) if (bitmap[index] !== 0) return false;
  return true;
}

export function orInto(target: Uint8Array, source: Uint8Array): void {
  const length = Math.min(target.length, source.length);
  for (let index = 0; index < length; index += 1) target[index] |= source[index];
}

export function andNotInto(target: Uint8Array, source: Uint8Array): void {
  const length = Math.min(target.length, source.length);
  for (let index = 0; index < length; index += 1) target[index] &= ~source[index];
}

/** A copy that is `length` bytes long, cut or padded with zeroes. */
export function resized(bitmap: Uint8Array, length: number): Uint8Array {
  const result = new Uint8Array(length);
  result.set(bitmap.subarray(0, length));
  return result;
}

/** The indices of all set bits below `count`, in order. */
export function* setBits(bitmap: Uint8Array, count: number): Generator<number> {
  for (let index = 0; index < count; index += 1) {
    if (bitmap[index >>> 3] === 0) {
      index |= 7;
      continue;
    }
    if (getBit(bitmap, index)) yield index;
  }
}
