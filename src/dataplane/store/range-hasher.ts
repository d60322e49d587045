import { createHash } from 'node:crypto';
import { digestBytes, productionGeometry } from '../protocol/ops.js';
import { pread, seekData, seekHole } from '../sys/files.js';
import { Errno } from '../sys/libc.js';
import { allocateMemory } from '../sys/memory.js';

const { hashBlockBytes } = productionGeometry;

/**
 * Digests of the blocks of a segment's range. Holes are asked of the file
 * system, not read; a block of zeroes has a digest of zeroes either way, so
 * that replicas whose holes differ compare equal.
 */
export class RangeHasher {
  private readonly memory = allocateMemory(hashBlockBytes);
  private readonly block = Buffer.from(this.memory.buffer, 0, hashBlockBytes);
  private readonly zeroes = Buffer.alloc(hashBlockBytes);

  /** Fills `digests` from byte `at` on; 0 or a positive errno. */
  hash(fd: number, offset: number, length: number, digests: Uint8Array, at: number): number {
    const end = offset + length;
    let position = offset;
    let digestAt = at;
    let dataStart = -1;
    let dataEnd = offset;
    while (position < end) {
      const blockEnd = Math.min(position + hashBlockBytes, end);
      if (position >= dataEnd) {
        dataStart = seekData(fd, position);
        if (dataStart === -Errno.ENXIO) return 0;
        if (dataStart < 0) return -dataStart;
        dataEnd = dataStart >= end ? end : seekHole(fd, dataStart);
        if (dataEnd < 0) return -dataEnd;
      }
      if (blockEnd > dataStart) {
        const status = this.digest(fd, position, blockEnd - position, digests, digestAt);
        if (status !== 0) return status;
      }
      position = blockEnd;
      digestAt += digestBytes;
    }
    return 0;
  }

  private digest(
    fd: number,
    offset: number,
    length: number,
    digests: Uint8Array,
    at: number,
  ): number {
    for (let done = 0; done < length;) {
      const result = pread(fd, this.memory.address + done, length - done, offset + done);
      if (result < 0) return -result;
      // Segments have their full length: an end here means that somebody cut the file.
      if (result === 0) return Errno.EIO;
      done += result;
    }
    const data = this.block.subarray(0, length);
    if (data.equals(this.zeroes.subarray(0, length))) return 0;
    digests.set(createHash('sha256').update(data).digest(), at);
    return 0;
  }
}
