import { readFileSync } from 'node:fs';
import { mkdir, readFile, rm, truncate, writeFile } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import { PxError } from '../../kernel/errors.js';
import { closeFile, openFile, OpenFlag } from '../sys/files.js';
import { Errno, errnoName, must } from '../sys/libc.js';
import { abortFuseMount, mount, MountFlag, unmountLazily } from '../sys/mount.js';
import { volumesDirectoryName } from './holder-api.js';

/** Source names of our mounts, so that anybody can tell them in /proc/mounts. */
const sourcePrefix = 'px:';

export interface FuseMount {
  readonly volumeId: string;
  readonly path: string;
  /** The kernel's number of the connection: the minor of the mount's device. */
  readonly connection: number;
}

/** Volume ids become file names and mount options. */
export function assertVolumeId(volumeId: string): void {
  if (!/^[A-Za-z0-9][A-Za-z0-9._-]{0,127}$/.test(volumeId)) {
    throw new PxError('invalid_argument', `not a volume id: ${JSON.stringify(volumeId)}`);
  }
}

export function fusePath(runDir: string, volumeId: string): string {
  return join(runDir, volumesDirectoryName, volumeId);
}

/**
 * Mounts a FUSE file system whose root is a regular file, and answers the
 * descriptor. The kernel sends INIT to the descriptor; the mount itself waits
 * for nobody, so it can be made before an engine serves it.
 */
export async function mountFuseFile(path: string, volumeId: string): Promise<number> {
  await mkdir(dirname(path), { recursive: true });
  await writeFile(path, '', { flag: 'a', mode: 0o600 });
  const fd = openFile('/dev/fuse', OpenFlag.RDWR | OpenFlag.NONBLOCK);
  if (fd < 0) {
    throw new PxError('failed_precondition', `/dev/fuse cannot be opened: ${errnoName(fd)}`);
  }
  const options = `fd=${fd},rootmode=100600,user_id=0,group_id=0,max_read=1048576`;
  const flags = MountFlag.NOSUID | MountFlag.NODEV;
  const result = mount(sourcePrefix + volumeId, path, 'fuse.px', flags, options);
  if (result < 0) {
    closeFile(fd);
    throw new PxError('io_error', `mounting FUSE on ${path}: ${errnoName(result)}`);
  }
  return fd;
}

/**
 * Brings the kernel's length of the file to what the engine already says.
 *
 * Only a truncation does so for certain: FUSE drops the size in the answer to a
 * GETATTR that a write overtook (`fuse_change_attributes`), although stat reports
 * it, and all reads behind the stale length would then fail.
 */
export async function growFuseFile(path: string, sizeBytes: number): Promise<void> {
  try {
    await truncate(path, sizeBytes);
  } catch (error) {
    // The engine refuses a size that is not its own with EPERM.
    const why = (error as NodeJS.ErrnoException).code ?? String(error);
    throw new PxError('aborted', `${path} can't have ${sizeBytes} bytes: ${why}`, {}, error);
  }
}

export async function unmountFuseFile(path: string): Promise<void> {
  const result = unmountLazily(path);
  // EINVAL: it is no mount point any more.
  if (result !== -Errno.EINVAL) must(result, `unmounting ${path}`);
  await rm(path, { force: true });
}

/** For a mount that nobody answers: everything that waits for it fails with an I/O error. */
export function abortFuseFile(path: string): void {
  const result = abortFuseMount(path);
  if (result !== -Errno.EBUSY && result !== -Errno.EINVAL) must(result, `aborting ${path}`);
}

/** Our mounts under this run directory, from what the kernel says. */
export async function listFuseMounts(runDir: string): Promise<FuseMount[]> {
  return parseMountInfo(await readFile('/proc/self/mountinfo', 'utf8'), runDir);
}

/** Source of the format: the kernel's Documentation/filesystems/proc.rst, section 3.5. */
export function parseMountInfo(text: string, runDir: string): FuseMount[] {
  const prefix = `${join(runDir, volumesDirectoryName)}/`;
  const mounts: FuseMount[] = [];
  for (const line of text.split('\n')) {
    const [left = '', right = ''] = line.split(' - ');
    const [, , device = '', , path = ''] = left.split(' ').map(unescapeOctal);
    const [type, source = ''] = right.split(' ').map(unescapeOctal);
    if (type !== 'fuse.px' || !source.startsWith(sourcePrefix)) continue;
    if (!path.startsWith(prefix)) continue;
    const connection = Number(device.split(':')[1]);
    mounts.push({ volumeId: source.slice(sourcePrefix.length), path, connection });
  }
  return mounts;
}

function unescapeOctal(field: string): string {
  return field.replace(/\\([0-7]{3})/g, (_, digits: string) =>
    String.fromCharCode(Number.parseInt(digits, 8)),
  );
}

/**
 * The connection behind a /dev/fuse descriptor of a process. Kernels that
 * don't say it (before 6.14) leave it undefined.
 */
export function connectionOf(pid: number, fd: number): number | undefined {
  const info = readFileSync(`/proc/${pid}/fdinfo/${fd}`, 'utf8');
  const match = /^fuse_connection:\s*(\d+)$/m.exec(info);
  return match === null ? undefined : Number(match[1]);
}
