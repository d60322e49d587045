import { mkdirSync, readFileSync, realpathSync } from 'node:fs';
import type { Command } from 'commander';
import { PxError } from '../kernel/errors.js';
import { printJson, type PxctlContext } from './context.js';

const attachTimeoutMs = 90_000;
const formatTimeoutMs = 300_000;
const mountTimeoutMs = 60_000;
const probeTimeoutMs = 10_000;

export function addHostCommands(program: Command, context: PxctlContext): void {
  const host = program.command('host').description('attach and mount volumes on this node');
  host
    .command('attach <volume>')
    .alias('a')
    .description('attach a volume and print its device')
    .option('--read_only', 'a read-only device')
    .option('--nbd', 'serve it by NBD on a unix socket instead of a block device')
    .option('--force', 'take it over from a node that is alive')
    .action(async (name: string, options: AttachOptions) => {
      const attached = await attach(context, name, options);
      if (context.json()) return printJson(context, attached);
      const where = attached.device_path === '' ? attached.nbd_uri : attached.device_path;
      context.print(`Volume successfully attached at: ${where}`);
    });
  host
    .command('detach <volume>')
    .alias('d')
    .description('detach a volume')
    .option('--force', 'also while its device is in use')
    .action(async (name: string, options: { force?: boolean }) => {
      const request = { id_or_name: name, force: options.force === true };
      await context.api().DetachVolume(request, { timeoutMs: attachTimeoutMs });
      say(context, `Volume ${name} successfully detached.`);
    });
  host
    .command('mount <volume>')
    .alias('m')
    .description('attach a volume, format it if it is empty, and mount it')
    .requiredOption('--path <directory>', 'where to mount it')
    .action((name: string, options: { path: string }) => mount(context, name, options.path));
  host
    .command('unmount <volume>')
    .alias('u')
    .description('unmount a volume and detach it')
    .requiredOption('--path <directory>', 'where it is mounted')
    .action((name: string, options: { path: string }) => unmount(context, name, options.path));
}

interface AttachOptions {
  readonly read_only?: boolean;
  readonly nbd?: boolean;
  readonly force?: boolean;
}

function attach(context: PxctlContext, name: string, options: AttachOptions) {
  return context.api().AttachVolume(
    {
      id_or_name: name,
      read_only: options.read_only === true,
      frontend: options.nbd === true ? 'nbd' : 'fuse',
      force: options.force === true,
    },
    { timeoutMs: attachTimeoutMs },
  );
}

async function mount(context: PxctlContext, name: string, path: string): Promise<void> {
  const volume = await context.api().GetVolume({ id_or_name: name });
  const fs = volume.spec?.fs ?? 'ext4';
  if (fs === 'none') {
    throw new PxError('failed_precondition', `volume "${name}" is for raw use (fs none)`);
  }
  const { device_path: device } = await attach(context, name, {});
  mkdirSync(path, { recursive: true });
  if (!isMounted(device, path)) {
    const present = await signatureOf(context, device);
    if (present === '') {
      if (volume.read_only) {
        throw new PxError('failed_precondition', `"${name}" is read-only and has no file system`);
      }
      await format(context, device, fs);
    }
    // A snapshot's file system has the same identity as its origin's, which may be mounted too.
    const options = [
      ...(volume.read_only ? ['ro'] : []),
      ...(volume.read_only && present === 'xfs' ? ['norecovery'] : []),
      ...(volume.read_only && present === 'ext4' ? ['noload'] : []),
      ...(volume.parent_id !== '' && present === 'xfs' ? ['nouuid'] : []),
    ];
    const flags = options.length === 0 ? [] : ['-o', options.join(',')];
    await context.run('mount', [...flags, device, path], { timeoutMs: mountTimeoutMs });
  }
  say(context, `Volume ${name} successfully mounted at ${path}`);
}

async function unmount(context: PxctlContext, name: string, path: string): Promise<void> {
  const volume = await context.api().GetVolume({ id_or_name: name });
  // A device's path means something on the node that has it only.
  const { id: selfId } = await context.api().GetStatus({});
  const device = volume.attached_on === selfId ? volume.device_path : '';
  if (device !== '' && isMounted(device, path)) {
    await context.run('umount', [path], { timeoutMs: mountTimeoutMs });
  } else if (mountsOn(path).length > 0) {
    throw new PxError('failed_precondition', `${path} has something else mounted than "${name}"`);
  }
  const elsewhere = device !== '' && mounts().some((entry) => entry.device === device);
  if (elsewhere) return say(context, `Volume ${name} unmounted; it is still mounted elsewhere.`);
  await context
    .api()
    .DetachVolume({ id_or_name: volume.id, force: false }, { timeoutMs: attachTimeoutMs });
  say(context, `Volume ${name} successfully unmounted at ${path}`);
}

/**
 * What the device holds; '' only when the probe is sure that it holds nothing.
 * blkid(8) ends with 2 when it found no signature, and otherwise says what it found.
 */
async function signatureOf(context: PxctlContext, device: string): Promise<string> {
  const probe = await context.run('blkid', ['-p', '-o', 'export', device], {
    timeoutMs: probeTimeoutMs,
    okExitCodes: [0, 2],
  });
  if (probe.exitCode === 2 && probe.stdout.trim() === '') return '';
  const type = /^TYPE=(.*)$/m.exec(probe.stdout)?.[1];
  if (type === undefined) {
    const what = probe.stdout.trim().split('\n').at(-1) ?? 'something';
    throw new PxError(
      'device_in_use',
      `${device} holds ${what} and no file system; it is not formatted`,
    );
  }
  return type;
}

async function format(context: PxctlContext, device: string, fs: string): Promise<void> {
  // A new thin device reads as zeroes: there is nothing to discard or to wipe.
  const args = fs === 'xfs' ? ['-q', '-K', device] : ['-q', '-E', 'nodiscard', device];
  await context.run(`mkfs.${fs}`, args, { timeoutMs: formatTimeoutMs });
}

interface MountEntry {
  readonly device: string;
  readonly path: string;
}

/** The kernel's own table: paths in it have spaces as \040. */
function mounts(): MountEntry[] {
  return readFileSync('/proc/self/mounts', 'utf8')
    .split('\n')
    .filter((line) => line !== '')
    .map((line) => {
      const [device = '', path = ''] = line.split(' ');
      return { device, path: path.replaceAll('\\040', ' ') };
    });
}

function mountsOn(path: string): MountEntry[] {
  let real = path;
  try {
    real = realpathSync(path);
  } catch {
    // Nothing is mounted on a path that does not exist.
    return [];
  }
  return mounts().filter((entry) => entry.path === real);
}

function isMounted(device: string, path: string): boolean {
  return mountsOn(path).some((entry) => entry.device === device);
}

function say(context: PxctlContext, text: string): void {
  if (context.json()) printJson(context, { status: 'success', desc: text });
  else context.print(text);
}
