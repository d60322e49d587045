import type { Command } from 'commander';
import { PxError } from '../../kernel/errors.js';
import type { Actions } from '../action.js';
import { show } from '../context.js';
import { mountVolume } from '../host/mount-volume.js';
import { unmountVolume } from '../host/unmount-volume.js';
import { mountsOfVolume } from '../host/volume-mounts.js';
import { formatVolumeSize } from '../sizes.js';

export function addHost(program: Command, actions: Actions): void {
  const host = program.command('host').description('volumes on this machine');
  addAttach(host, actions);
  addDetach(host, actions);
  addMount(host, actions);
  addUnmount(host, actions);
}

interface AttachFlags {
  readonly readOnly?: boolean;
  readonly force?: boolean;
  readonly frontend: string;
}

function addAttach(host: Command, actions: Actions): void {
  const attach = host
    .command('attach')
    .alias('a')
    .description('make the volume a block device of this node')
    .argument('<volume>', 'id or name')
    .option('--read-only', 'take no writes')
    .option('--force', 'take it away from a node that is alive; that node is fenced')
    .option(
      '--frontend <kind>',
      "fuse (a loop device), nbd (a unix socket) or nbd-device (the kernel's nbd)",
      'fuse',
    );
  actions.on<AttachFlags>(attach, async (context, [wanted = ''], flags) => {
    const { id, name } = await context.px.GetVolume({ id_or_name: wanted });
    const attached = await context.px.AttachVolume({
      id_or_name: id,
      read_only: flags.readOnly === true,
      frontend: flags.frontend,
      force: flags.force === true,
    });
    const { device_path, nbd_uri, epoch, size_bytes } = attached;
    show(
      context,
      () => ({ id, name, device_path, nbd_uri, epoch, size_bytes }),
      () =>
        `Volume successfully attached at: ${device_path || nbd_uri} ` +
        `(${formatVolumeSize(size_bytes)})`,
    );
  });
}

function addDetach(host: Command, actions: Actions): void {
  const detach = host
    .command('detach')
    .alias('d')
    .description('take the block device down, wherever the volume is attached')
    .argument('<volume>', 'id or name')
    .option('--force', 'also while something has the device open; it then gets I/O errors');
  actions.on<{ force?: boolean }>(detach, async (context, [wanted = ''], flags) => {
    const volume = await context.px.GetVolume({ id_or_name: wanted });
    const [mount] = await mountsOfVolume(context, volume);
    if (mount !== undefined && flags.force !== true) {
      throw new PxError(
        'failed_precondition',
        `volume "${volume.name}" is mounted on ${mount.mountPoint}; ` +
          `use "pxctl host unmount ${volume.name}"`,
      );
    }
    await context.px.DetachVolume({ id_or_name: volume.id, force: flags.force === true });
    const was = volume.state === 'attached';
    show(
      context,
      () => ({ id: volume.id, name: volume.name, result: was ? 'detached' : 'was detached' }),
      () => (was ? 'Volume successfully detached' : `Volume ${volume.name} was not attached.`),
    );
  });
}

function addMount(host: Command, actions: Actions): void {
  const mount = host
    .command('mount')
    .alias('m')
    .description('attach, make the file system if the volume is empty, and mount')
    .argument('<volume>', 'id or name')
    .requiredOption('--path <directory>', 'where to mount it; made when it is not there')
    .option('--read-only', 'take no writes');
  actions.on<{ path: string; readOnly?: boolean }>(mount, async (context, [wanted = ''], flags) => {
    const done = await mountVolume(context, {
      volume: wanted,
      path: flags.path,
      readOnly: flags.readOnly === true,
    });
    const { volume, path, devicePath, formatted } = done;
    show(
      context,
      () => ({ id: volume.id, name: volume.name, path, device_path: devicePath, formatted }),
      () =>
        done.already
          ? `Volume ${volume.name} is mounted at ${path} already.`
          : `Volume ${volume.name} successfully mounted at ${path} (${devicePath}` +
            `${formatted ? `, new ${volume.spec?.fs}` : ''})`,
    );
  });
}

function addUnmount(host: Command, actions: Actions): void {
  const unmount = host
    .command('unmount')
    .alias('u')
    .description('unmount, and detach when it is mounted nowhere else')
    .argument('<volume>', 'id or name')
    .option('--path <directory>', 'needed only when it is mounted on several');
  actions.on<{ path?: string }>(unmount, async (context, [wanted = ''], flags) => {
    const { volume, paths, remaining } = await unmountVolume(context, wanted, flags.path);
    show(
      context,
      () => ({ id: volume.id, name: volume.name, unmounted: paths, remaining }),
      () =>
        [
          paths.length === 0
            ? `Volume ${volume.name} is not mounted ${flags.path === undefined ? 'here' : 'there'}.`
            : `Volume ${volume.name} successfully unmounted from ${paths.join(', ')}`,
          ...(remaining.length === 0
            ? []
            : [`It stays attached: it is mounted on ${remaining.join(', ')}.`]),
        ].join('\n'),
    );
  });
}
