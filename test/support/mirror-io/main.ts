import { closeSync, constants, fsyncSync, openSync, readSync, writeSync } from 'node:fs';

/**
 * A process of its own that writes to a block device and tells each
 * acknowledged write, or reads a device's stamps back. Its own process, because
 * a write to a volume that waits blocks whoever makes it.
 *
 *   write DEVICE FIRST_BLOCK BLOCKS BASE SEED   8 bytes a write: stamp, block
 *   read DEVICE FIRST_BLOCK BLOCKS              4 bytes a block: its stamp
 *
 * A block is filled with its stamp and its number. Stamp 0xffffffff stands for
 * a block whose content is not one stamp: torn, or another block's.
 */
const blockBytes = 4096;
const torn = 0xffffffff;
const fsyncEvery = 64;

/** WebAssembly's memory is page-aligned, as O_DIRECT wants it. (Its types come with the DOM's.) */
const { WebAssembly } = globalThis as unknown as {
  WebAssembly: { Memory: new (size: { initial: number }) => { readonly buffer: ArrayBuffer } };
};
const memory = new WebAssembly.Memory({ initial: 16 });
const [mode = '', device = '', first = '0', count = '0', base = '0', seed = '1'] =
  process.argv.slice(2);
const firstBlock = Number(first);
const blocks = Number(count);

/** xorshift32: enough to choose blocks, and the same for a seed. */
function randomFrom(start: number): () => number {
  let state = start >>> 0 || 1;
  return () => {
    state ^= state << 13;
    state >>>= 0;
    state ^= state >>> 17;
    state ^= state << 5;
    state >>>= 0;
    return state;
  };
}

function write(): void {
  const fd = openSync(device, constants.O_WRONLY | constants.O_DIRECT);
  const words = new Uint32Array(memory.buffer, 0, blockBytes / 4);
  const report = new Uint32Array(2);
  const next = randomFrom(Number(seed));
  let stamp = Number(base);
  for (;;) {
    stamp += 1;
    const block = firstBlock + (next() % blocks);
    for (let at = 0; at < words.length; at += 2) {
      words[at] = stamp;
      words[at + 1] = block;
    }
    const wrote = writeSync(fd, words, 0, blockBytes, block * blockBytes);
    if (wrote !== blockBytes) throw new Error(`short write of ${wrote} bytes`);
    if (stamp % fsyncEvery === 0) fsyncSync(fd);
    report[0] = stamp;
    report[1] = block;
    writeSync(1, report);
  }
}

function read(): void {
  const fd = openSync(device, constants.O_RDONLY | constants.O_DIRECT);
  const perRead = 128;
  const words = new Uint32Array(memory.buffer, 0, (perRead * blockBytes) / 4);
  const stamps = new Uint32Array(blocks);
  for (let done = 0; done < blocks; done += perRead) {
    const length = Math.min(perRead, blocks - done) * blockBytes;
    const position = (firstBlock + done) * blockBytes;
    if (readSync(fd, words, 0, length, position) !== length) throw new Error('short read');
    for (let index = 0; index < length / blockBytes; index++) {
      stamps[done + index] = stampOf(words, (index * blockBytes) / 4, firstBlock + done + index);
    }
  }
  closeSync(fd);
  let sent = 0;
  const bytes = new Uint8Array(stamps.buffer);
  while (sent < bytes.length) sent += writeSync(1, bytes, sent);
}

function stampOf(words: Uint32Array, start: number, block: number): number {
  const stamp = words[start] ?? torn;
  for (let at = start; at < start + blockBytes / 4; at += 2) {
    const number = words[at + 1];
    if (words[at] !== stamp || number !== (stamp === 0 ? 0 : block)) return torn;
  }
  return stamp;
}

if (mode === 'write') write();
else read();
