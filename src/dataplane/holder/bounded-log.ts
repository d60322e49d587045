import { copyFileSync, fstatSync, ftruncateSync } from 'node:fs';

const checkMs = 60_000;

/**
 * Keeps the file behind this process's standard error small. The engine writes
 * to the same open file, so it is emptied in place, which appending writers
 * don't notice; one older part is kept beside it.
 */
export function boundOwnLog(path: string, maxBytes: number): void {
  setInterval(() => shortenLog(2, path, maxBytes), checkMs).unref();
}

export function shortenLog(descriptor: number, path: string, maxBytes: number): boolean {
  try {
    const stats = fstatSync(descriptor);
    // A terminal or a pipe has its own reader.
    if (!stats.isFile() || stats.size <= maxBytes) return false;
    copyFileSync(path, `${path}.1`);
    ftruncateSync(descriptor);
    return true;
  } catch {
    // The directory went away, or there is no space: a log is not worth an end.
    return false;
  }
}
