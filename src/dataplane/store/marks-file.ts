import { closeSync, fdatasyncSync, openSync, readSync, writeSync } from 'node:fs';
import { join } from 'node:path';
import { marksBytes } from './replica-meta.js';
import { marksFileName } from './replica-paths.js';

const pageBytes = 4096;

/**
 * The dirty marks and their file. A torn save leaves each bit old or new, and
 * either is right until the save was answered; so there is no second copy.
 */
export class MarksFile {
  readonly fd: number;
  private bytes: Uint8Array;
  /** What the file holds, as far as the kernel was told. */
  private written: Uint8Array;

  constructor(directory: string, sizeBytes: number) {
    this.fd = openSync(join(directory, marksFileName), 'r+');
    // Bits that were never written count as set: comparing too much does no harm.
    this.bytes = new Uint8Array(marksBytes(sizeBytes)).fill(0xff);
    readFully(this.fd, this.bytes);
    this.written = this.bytes.slice();
  }

  get marks(): Uint8Array {
    return this.bytes;
  }

  /** Longer by clear marks, in the file too; not yet durable. */
  grow(sizeBytes: number): void {
    const length = marksBytes(sizeBytes);
    if (length <= this.bytes.length) return;
    const grown = new Uint8Array(length);
    grown.set(this.bytes);
    const tail = length - this.bytes.length;
    writeSync(this.fd, new Uint8Array(tail), 0, tail, this.bytes.length);
    const written = new Uint8Array(length);
    written.set(this.written);
    this.bytes = grown;
    this.written = written;
  }

  /** Writes the pages that changed; false when none did. Throws what node:fs throws. */
  write(): boolean {
    let changed = false;
    for (let at = 0; at < this.bytes.length; at += pageBytes) {
      const now = this.bytes.subarray(at, at + pageBytes);
      const before = this.written.subarray(at, at + pageBytes);
      if (Buffer.compare(now, before) === 0) continue;
      changed = true;
      let done = 0;
      while (done < now.length) {
        done += writeSync(this.fd, now, done, now.length - done, at + done);
      }
      before.set(now);
    }
    return changed;
  }

  /** Blocks: for set-up paths. */
  sync(): void {
    fdatasyncSync(this.fd);
  }

  close(): void {
    closeSync(this.fd);
  }
}

function readFully(fd: number, bytes: Uint8Array): void {
  for (let at = 0; at < bytes.length;) {
    const count = readSync(fd, bytes, at, bytes.length - at, at);
    if (count === 0) return;
    at += count;
  }
}
