import { constants } from 'node:fs';
import { open, type FileHandle } from 'node:fs/promises';
import { setTimeout as delay } from 'node:timers/promises';
import { allocateMemory } from '../sys/memory.js';
import type { ReadSpeed } from './classify.js';

const phaseMs = 350;
const sequentialBytes = 1024 * 1024;
const randomBytes = 4096;
const randomDepth = 4;

/**
 * Reads for at most a second, past the page cache, and writes nothing. A device
 * that does not answer counts as not measured; its reads are left behind.
 */
export async function benchmarkReads(path: string, sizeBytes: number): Promise<ReadSpeed> {
  const unmeasured = { readBytesPerSecond: 0, readIops: 0 };
  const bound = new AbortController();
  try {
    return await Promise.race([
      measure(path, sizeBytes),
      delay(phaseMs * 2 + 300, unmeasured, { signal: bound.signal }),
    ]);
  } catch {
    return unmeasured;
  } finally {
    bound.abort();
  }
}

async function measure(path: string, sizeBytes: number): Promise<ReadSpeed> {
  const file = await open(path, constants.O_RDONLY | constants.O_DIRECT);
  try {
    const memory = allocateMemory(sequentialBytes);
    const buffer = new Uint8Array(memory.buffer);
    const blocks = Math.floor(sizeBytes / sequentialBytes);
    let block = 0;
    const readBytesPerSecond = await perSecond(async () => {
      await readAt(file, buffer, (block++ % blocks) * sequentialBytes);
      return sequentialBytes;
    });
    const pages = Math.floor(sizeBytes / randomBytes);
    // A fixed sequence of positions, spread over the device (Weyl's, by the golden ratio).
    let step = 0;
    const readIops = await perSecond(async () => {
      const reads = Array.from({ length: randomDepth }, (_, at) => {
        const page = Math.floor(((++step * 0.6180339887498949) % 1) * pages);
        const part = buffer.subarray(at * randomBytes, (at + 1) * randomBytes);
        return readAt(file, part, page * randomBytes);
      });
      await Promise.all(reads);
      return randomDepth;
    });
    return { readBytesPerSecond: Math.round(readBytesPerSecond), readIops: Math.round(readIops) };
  } finally {
    await file.close();
  }
}

async function readAt(file: FileHandle, buffer: Uint8Array, position: number): Promise<void> {
  const { bytesRead } = await file.read(buffer, 0, buffer.length, position);
  if (bytesRead !== buffer.length) throw new Error('a short read');
}

async function perSecond(work: () => Promise<number>): Promise<number> {
  const started = performance.now();
  let done = 0;
  let elapsedMs = 0;
  while (elapsedMs < phaseMs) {
    done += await work();
    elapsedMs = performance.now() - started;
  }
  return (done * 1000) / elapsedMs;
}
