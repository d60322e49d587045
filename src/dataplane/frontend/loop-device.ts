import { readdirSync, readFileSync } from 'node:fs';
import { access, readdir, readFile, writeFile } from 'node:fs/promises';
import { basename } from 'node:path';
import { PxError } from '../../kernel/errors.js';
import type { RunCommand } from '../../platform/run-command.js';
import { delay, monotonicMs } from '../../platform/monotonic.js';

/**
 * Loop devices on top of FUSE files. Setting one up makes the kernel read the
 * file, which the engine answers, so this runs in the holder and through a
 * child process, never on a thread that answers.
 *
 * What exists is what /sys says, not what anybody remembers.
 */
export interface LoopDevice {
  readonly path: string;
  readonly backingFile: string;
  /**
   * Of this attachment, of no other one since boot; '' before Linux 5.15. Loop
   * devices are the kernel's: of two nodes that share one (in containers) both
   * may have a file of that name, so that a name alone may be the other's.
   */
  readonly sequence: string;
  readonly sizeBytes: number;
  readonly readOnly: boolean;
  readonly directIo: boolean;
}

export interface LoopOptions {
  readonly backingFile: string;
  readonly blockSizeBytes: 512 | 4096;
  readonly readOnly: boolean;
  readonly discard: boolean;
}

const commandTimeoutMs = 20_000;
const sysBlock = '/sys/block';

/** One device of ours asks for at most what one slot holds. */
const maxSectorsKb = 1024;

export function listLoopDevices(): LoopDevice[] {
  return loopNames()
    .map(readLoopDevice)
    .filter((device) => device !== undefined);
}

/** With hundreds of devices only one small file of each is read. */
export function findLoopDevice(backingFile: string, sequence?: string): LoopDevice | undefined {
  const name = loopNames().find(
    (candidate) =>
      readBackingFile(candidate) === backingFile &&
      (sequence === undefined || readSequence(candidate) === sequence),
  );
  return name === undefined ? undefined : readLoopDevice(name);
}

function readSequence(name: string): string {
  try {
    return readSys(name, 'diskseq');
  } catch {
    return '';
  }
}

function loopNames(): string[] {
  return readdirSync(sysBlock).filter((name) => /^loop\d+$/.test(name));
}

/** sysfs answers from memory: these reads wait for no disk and for no engine. */
function readLoopDevice(name: string): LoopDevice | undefined {
  try {
    return {
      path: `/dev/${name}`,
      backingFile: readBackingFile(name) ?? '',
      sequence: readSequence(name),
      sizeBytes: Number(readSys(name, 'size')) * 512,
      readOnly: readSys(name, 'ro') === '1',
      directIo: readSys(name, 'loop/dio') === '1',
    };
  } catch {
    // The directory `loop` exists only while the device is configured.
    return undefined;
  }
}

function readBackingFile(name: string): string | undefined {
  try {
    // The kernel marks a file whose name is gone.
    return readSys(name, 'loop/backing_file').replace(/ \(deleted\)$/, '');
  } catch {
    return undefined;
  }
}

function readSys(name: string, file: string): string {
  // Only the trailing newline goes: a file name may end in a blank.
  return readFileSync(`${sysBlock}/${name}/${file}`, 'utf8').replace(/\n$/, '');
}

/** The device of the file: the one that it has, or a new one. */
export async function attachLoopDevice(
  run: RunCommand,
  options: LoopOptions,
  existing: LoopDevice | undefined,
): Promise<LoopDevice> {
  const { backingFile, blockSizeBytes, readOnly } = options;
  if (existing !== undefined) {
    if (existing.readOnly === readOnly) return existing;
    throw new PxError(
      'failed_precondition',
      `${existing.path} serves the volume ${existing.readOnly ? 'read-only' : 'for writing'}`,
    );
  }
  const { stdout } = await run(
    'losetup',
    [
      ...['--find', '--show', '--direct-io=on', '--sector-size', String(blockSizeBytes)],
      ...(readOnly ? ['--read-only'] : []),
      backingFile,
    ],
    { timeoutMs: commandTimeoutMs },
  );
  const name = basename(stdout.trim());
  await tuneQueue(name, options);
  const device = readLoopDevice(name);
  if (device?.backingFile !== backingFile) {
    throw new PxError('io_error', `losetup reported ${name}, which does not serve ${backingFile}`);
  }
  if (!device.directIo) {
    // Through the page cache of the FUSE file a FLUSH would cover less than it says.
    await run('losetup', ['--detach', device.path], { timeoutMs: commandTimeoutMs });
    throw new PxError('io_error', `the kernel refuses direct I/O on ${device.path}`);
  }
  return device;
}

async function tuneQueue(name: string, options: LoopOptions): Promise<void> {
  const queue = `${sysBlock}/${name}/queue`;
  const settings: [string, string][] = [['max_sectors_kb', String(maxSectorsKb)]];
  if (!options.discard) settings.push(['discard_max_bytes', '0']);
  for (const [file, value] of settings) {
    try {
      await writeFile(`${queue}/${file}`, value);
    } catch (error) {
      // A kernel that cannot do less than this limit splits requests by itself; but a
      // volume that must not be discarded must not be.
      if (file === 'discard_max_bytes') throw error;
    }
  }
}

/**
 * Takes the device down. A mounted or otherwise open one is refused; the check
 * and the kernel's own lazy detach together never pull a device from a user.
 */
export async function detachLoopDevice(
  run: RunCommand,
  device: LoopDevice,
  timeoutMs: number,
): Promise<void> {
  await run('losetup', ['--detach', device.path], { timeoutMs: commandTimeoutMs });
  // With another opener left the kernel detaches at its last close, which nothing announces.
  const deadline = monotonicMs() + timeoutMs;
  while (isAttached(device)) {
    if (monotonicMs() > deadline) {
      throw new PxError(
        'failed_precondition',
        `${device.path} is still open; it goes away at its last close`,
      );
    }
    await delay(50);
  }
}

function isAttached(device: LoopDevice): boolean {
  const name = basename(device.path);
  return readBackingFile(name) === device.backingFile && readSequence(name) === device.sequence;
}

/** Why the device must not be taken away, or undefined. */
export async function loopDeviceUser(
  device: Pick<LoopDevice, 'path'>,
  mountInfoPath = '/proc/self/mountinfo',
): Promise<string | undefined> {
  const mounts = await readFile(mountInfoPath, 'utf8');
  for (const line of mounts.split('\n')) {
    const [left = '', right = ''] = line.split(' - ');
    if (right.split(' ')[1] === device.path) return `mounted on ${left.split(' ')[4]}`;
  }
  const holders = await readdir(`${sysBlock}/${basename(device.path)}/holders`).catch(() => []);
  return holders.length > 0 ? `held by ${holders.join(', ')}` : undefined;
}

/** Makes the device as large as its file, whose length the kernel must already know (`growFuseFile`). */
export async function resizeLoopDevice(
  run: RunCommand,
  device: LoopDevice,
  sizeBytes: number,
): Promise<void> {
  await access(device.path);
  await run('losetup', ['--set-capacity', device.path], { timeoutMs: commandTimeoutMs });
  const resized = readLoopDevice(basename(device.path));
  if (resized?.sizeBytes !== sizeBytes) {
    throw new PxError('io_error', `${device.path} has ${resized?.sizeBytes} bytes after growing`);
  }
}
