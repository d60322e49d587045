import fc from 'fast-check';
import {
  andNotInto,
  bitmapBytes,
  getBit,
  hasRange,
  isEmpty,
  orInto,
  setBits,
  setRange,
} from './bitmap.js';

const chunkBytes = 1024;
const sizeBytes = 100 * chunkBytes;

const range = fc
  .tuple(fc.nat(sizeBytes - 1), fc.integer({ min: 1, max: 20 * chunkBytes }))
  .map(([offset, length]) => ({ offset, length: Math.min(length, sizeBytes - offset) }));

function chunksOf({ offset, length }: { offset: number; length: number }): number[] {
  const chunks: number[] = [];
  for (let at = offset; at < offset + length; at += 1) {
    const chunk = Math.floor(at / chunkBytes);
    if (chunks.at(-1) !== chunk) chunks.push(chunk);
  }
  return chunks;
}

test('a range marks exactly the chunks that hold one of its bytes', () => {
  fc.assert(
    fc.property(range, (wanted) => {
      const bitmap = new Uint8Array(bitmapBytes(sizeBytes, chunkBytes));
      setRange(bitmap, chunkBytes, wanted.offset, wanted.length);
      expect([...setBits(bitmap, 100)]).toEqual(chunksOf(wanted));
      expect(hasRange(bitmap, chunkBytes, wanted.offset, wanted.length)).toBe(true);
    }),
  );
});

test('hasRange is false as soon as one chunk is not marked', () => {
  fc.assert(
    fc.property(range, fc.nat(), (wanted, pick) => {
      const bitmap = new Uint8Array(bitmapBytes(sizeBytes, chunkBytes)).fill(0xff);
      const chunks = chunksOf(wanted);
      const missing = chunks[pick % chunks.length];
      bitmap[missing >>> 3] &= ~(1 << (missing & 7));
      expect(hasRange(bitmap, chunkBytes, wanted.offset, wanted.length)).toBe(false);
    }),
  );
});

test('or and and-not are those of sets', () => {
  fc.assert(
    fc.property(fc.array(range), fc.array(range), (first, second) => {
      const bytes = bitmapBytes(sizeBytes, chunkBytes);
      const left = new Uint8Array(bytes);
      const right = new Uint8Array(bytes);
      for (const item of first) setRange(left, chunkBytes, item.offset, item.length);
      for (const item of second) setRange(right, chunkBytes, item.offset, item.length);
      const union = left.slice();
      orInto(union, right);
      const difference = left.slice();
      andNotInto(difference, right);
      for (let chunk = 0; chunk < 100; chunk += 1) {
        expect(getBit(union, chunk)).toBe(getBit(left, chunk) || getBit(right, chunk));
        expect(getBit(difference, chunk)).toBe(getBit(left, chunk) && !getBit(right, chunk));
      }
      expect(isEmpty(union)).toBe(first.length + second.length === 0);
    }),
  );
});
