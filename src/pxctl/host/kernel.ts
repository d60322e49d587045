import { readFile, realpath, stat } from 'node:fs/promises';
import { basename, dirname, join, resolve } from 'node:path';
import { PxError } from '../../kernel/errors.js';

/** A mount, as a line of /proc/self/mountinfo tells it. */
export interface Mount {
  /** `major:minor` of the device below the file system. */
  readonly device: string;
  readonly path: string;
  readonly readOnly: boolean;
  readonly fsType: string;
  /** What was mounted, in the words of whoever mounted it. */
  readonly source: string;
}

/**
 * proc(5): id, parent, major:minor, root, mount point, flags, any number of
 * optional fields, a dash, type, source, flags of the file system.
 */
export function parseMounts(text: string): Mount[] {
  const mounts: Mount[] = [];
  for (const line of text.split('\n')) {
    const dash = line.indexOf(' - ');
    const [, , device, , path, flags] = line.slice(0, Math.max(dash, 0)).split(' ');
    const [fsType, source] = line.slice(dash + 3).split(' ');
    if (device === undefined || path === undefined || flags === undefined) continue;
    mounts.push({
      device,
      path: unescapeOctal(path),
      readOnly: flags.split(',').includes('ro'),
      fsType: fsType ?? '',
      source: unescapeOctal(source ?? ''),
    });
  }
  return mounts;
}

/** The kernel writes blanks, tabs, newlines and backslashes of a path as `\040` and the like. */
function unescapeOctal(text: string): string {
  return text.replace(/\\([0-7]{3})/g, (_all, octal: string) =>
    String.fromCharCode(Number.parseInt(octal, 8)),
  );
}

export async function readMounts(mountInfoPath: string): Promise<Mount[]> {
  return parseMounts(await readFile(mountInfoPath, 'utf8'));
}

/**
 * The path as the kernel lists it. The last part is not resolved: where a
 * broken file system is mounted, even looking at it fails.
 */
export async function kernelPath(path: string): Promise<string> {
  const absolute = resolve(path);
  const parent = await realpath(dirname(absolute)).catch(() => dirname(absolute));
  return join(parent, basename(absolute));
}

export interface Device {
  readonly path: string;
  /** `major:minor` as mountinfo writes it. */
  readonly number: string;
  readonly readOnly: boolean;
}

export async function readDevice(path: string): Promise<Device> {
  const stats = await stat(path).catch((error: NodeJS.ErrnoException) => {
    throw new PxError('io_error', `the device ${path} is not there (${error.code})`, {}, error);
  });
  if (!stats.isBlockDevice()) throw new PxError('io_error', `${path} is no block device`);
  const number = deviceNumber(stats.rdev);
  const readOnly = await readFile(`/sys/dev/block/${number}/ro`, 'utf8');
  return { path, number, readOnly: readOnly.trim() === '1' };
}

/** makedev(3) of Linux spreads 12 bits of major and 20 of minor over the low 32 bits. */
export function deviceNumber(rdev: number): string {
  const major = Math.floor(rdev / 256) % 4096;
  const minor = (rdev % 256) + (Math.floor(rdev / 2 ** 20) % 4096) * 256;
  return `${major}:${minor}`;
}

/**
 * The volume whose device this is, '' for any other device: px backs its loop
 * devices with a file named by the volume's id. The kernel says so even after
 * the volume was taken over or came back as another device.
 */
export async function volumeIdOfDevice(number: string): Promise<string> {
  try {
    const file = await readFile(`/sys/dev/block/${number}/loop/backing_file`, 'utf8');
    return basename(file.trim().replace(/ \(deleted\)$/, ''));
  } catch {
    return '';
  }
}
