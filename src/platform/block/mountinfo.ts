import { readFile, realpath } from 'node:fs/promises';
import { basename, dirname, join, resolve } from 'node:path';

/** One line of /proc/self/mountinfo: what the kernel says is mounted. */
export interface MountEntry {
  /** `major:minor` of the device behind the file system. */
  readonly device: string;
  /** The part of the file system that is mounted: `/`, or for a bind the source within it. */
  readonly root: string;
  readonly mountPoint: string;
  /** This mount's own flags (ro for a read-only bind). */
  readonly options: readonly string[];
  readonly fsType: string;
  /** What was mounted, in the words of whoever mounted it. */
  readonly source: string;
  /** The file system's flags, the same for all of its mounts. */
  readonly superOptions: readonly string[];
}

/**
 * Reads the format that proc(5) describes: after the mount's flags come any
 * number of optional fields, ended by a lone dash.
 */
export function parseMountInfo(text: string): MountEntry[] {
  const entries: MountEntry[] = [];
  for (const line of text.split('\n')) {
    const [mount, filesystem] = splitAt(line, ' - ');
    const [, , device, root, mountPoint, options] = mount.split(' ');
    const [fsType, source, superOptions] = filesystem.split(' ');
    if (device === undefined || root === undefined || mountPoint === undefined) continue;
    entries.push({
      device,
      root: unescapeOctal(root),
      mountPoint: unescapeOctal(mountPoint),
      options: (options ?? '').split(','),
      fsType: fsType ?? '',
      source: unescapeOctal(source ?? ''),
      superOptions: (superOptions ?? '').split(','),
    });
  }
  return entries;
}

export async function readMountInfo(mountInfoPath: string): Promise<MountEntry[]> {
  return parseMountInfo(await readFile(mountInfoPath, 'utf8'));
}

export function isReadOnly(entry: MountEntry): boolean {
  return entry.options.includes('ro');
}

/**
 * A file system that met an error it could not survive: ext4 says so among its
 * flags, or turns itself read-only while the mount's own flags stay. XFS says
 * nothing here and answers EIO to everything.
 */
export function hasStopped(entry: MountEntry): boolean {
  const { superOptions } = entry;
  const says = superOptions.includes('emergency_ro') || superOptions.includes('shutdown');
  return says || (superOptions.includes('ro') && !isReadOnly(entry));
}

/**
 * The path as mountinfo lists it. The last part is not resolved: where a
 * broken file system is mounted, even looking at it fails.
 */
export async function kernelPath(path: string): Promise<string> {
  const absolute = resolve(path);
  const parent = await realpath(dirname(absolute)).catch(() => dirname(absolute));
  return join(parent, basename(absolute));
}

function splitAt(line: string, separator: string): [string, string] {
  const at = line.indexOf(separator);
  return at < 0 ? [line, ''] : [line.slice(0, at), line.slice(at + separator.length)];
}

/** The kernel writes space, tab, newline and backslash in paths as three octal digits. */
function unescapeOctal(path: string): string {
  return path.replace(/\\([0-7]{3})/g, (_match, digits: string) =>
    String.fromCharCode(parseInt(digits, 8)),
  );
}
