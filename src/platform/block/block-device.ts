import { readFile, stat } from 'node:fs/promises';
import { PxError } from '../../kernel/errors.js';
import type { Stats } from 'node:fs';

/** A block device as the kernel knows it. */
export interface BlockDevice {
  readonly path: string;
  /** `major:minor`, as mountinfo writes it. */
  readonly number: string;
  readonly sizeBytes: number;
  readonly readOnly: boolean;
}

const sectorBytes = 512;

/** The number that Linux packs into st_rdev: 12 bits of major, 20 of minor, interleaved. */
export function deviceNumberOf(stats: Pick<Stats, 'rdev'>): string {
  const rdev = BigInt(stats.rdev);
  const major = ((rdev >> 8n) & 0xfffn) | ((rdev >> 32n) & ~0xfffn);
  const minor = (rdev & 0xffn) | ((rdev >> 12n) & ~0xffn);
  return `${major}:${minor}`;
}

export async function readBlockDevice(path: string): Promise<BlockDevice> {
  const stats = await stat(path).catch((error: NodeJS.ErrnoException) => {
    throw new PxError('unavailable', `device ${path} is not there (${error.code})`, {}, error);
  });
  if (!stats.isBlockDevice()) {
    throw new PxError('internal', `${path} is not a block device`);
  }
  const number = deviceNumberOf(stats);
  return { path, number, ...(await readSysfs(number)) };
}

async function readSysfs(number: string): Promise<{ sizeBytes: number; readOnly: boolean }> {
  const directory = `/sys/dev/block/${number}`;
  const [size, readOnly] = await Promise.all([
    readFile(`${directory}/size`, 'utf8'),
    readFile(`${directory}/ro`, 'utf8'),
  ]);
  return { sizeBytes: Number(size) * sectorBytes, readOnly: readOnly.trim() === '1' };
}
