import { lstat, readdir, readFile, rm, rmdir } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import type { NodeContext } from './context.js';
import { removeMount } from './published-mounts.js';

/** A volume that a kubelet has staged with a driver, by what it keeps of it on the node's disk. */
export interface KubeletStage {
  readonly volumeId: string;
  /** The staging_target_path of its calls. */
  readonly path: string;
  /** A pod has it, so that the kubelet knows it. */
  isInUse(): Promise<boolean>;
  /** Takes away what pods had that the kubelet knows no more. */
  unpublish(): Promise<void>;
  /** After the end of the stage: the kubelet's own notes, and of its directories the empty ones. */
  forget(): Promise<void>;
}

/** The names are those of the kubelet's CSI plugin: csi_attacher.go, csi_block.go, csi_util.go. */
const dataName = 'vol_data.json';
const pluginName = 'kubernetes.io/csi';
const devicesName = 'volumeDevices';

/** `/var/lib/kubelet` of `/var/lib/kubelet/plugins/DRIVER/csi.sock`. */
export function kubeletRoot(kubeletSocketPath: string): string {
  return dirname(dirname(dirname(kubeletSocketPath)));
}

export async function listStages(
  context: NodeContext,
  root: string,
  driverName: string,
): Promise<KubeletStage[]> {
  const plugin = join(root, 'plugins', pluginName);
  const own = join(plugin, driverName);
  // Of all drivers: only the note in it tells whose a raw block volume is.
  const devices = join(plugin, devicesName);
  const stages = [
    ...(await names(own)).map((name) => filesystemStage(context, join(own, name))),
    ...(await names(devices)).map((name) => blockStage(context, { root, devices, name })),
  ];
  const found: KubeletStage[] = [];
  for (const { note, ...stage } of stages) {
    const volumeId = await readVolumeId(note, driverName);
    if (volumeId !== undefined) found.push({ ...stage, volumeId });
  }
  return found;
}

type UnnamedStage = Omit<KubeletStage, 'volumeId'> & { readonly note: string };

/** `DIRECTORY/globalmount` is the staging path; pods have binds of what is mounted there. */
function filesystemStage({ mounter }: NodeContext, directory: string): UnnamedStage {
  const path = join(directory, 'globalmount');
  const note = join(directory, dataName);
  return {
    path,
    note,
    isInUse: async () => {
      const staged = await mounter.at(path);
      if (staged === undefined) return false;
      return (await mounter.list()).some(
        ({ device, mountPoint }) => device === staged.device && mountPoint !== staged.mountPoint,
      );
    },
    unpublish: () => Promise.resolve(),
    forget: async () => {
      await removeEmpty(path);
      await rm(note, { force: true });
      await removeEmpty(directory);
    },
  };
}

/**
 * The kubelet finds a pod's raw block volumes by the links in the pod's own
 * directory, and removes the link before it unpublishes the volume: what is
 * published to a pod without its link is what it has forgotten.
 */
function blockStage(
  context: NodeContext,
  at: { readonly root: string; readonly devices: string; readonly name: string },
): UnnamedStage {
  const { mounter } = context;
  const own = join(at.devices, at.name);
  const path = join(at.devices, 'staging', at.name);
  const note = join(own, 'data', dataName);
  // Each holds a file a pod, named by its uid, that shows the device.
  const mapped = join(own, 'dev');
  const published = join(at.devices, 'publish', at.name);
  return {
    path,
    note,
    isInUse: async () => {
      const pods = new Set([...(await names(published)), ...(await names(mapped))]);
      const links = [...pods].map((uid) =>
        join(at.root, 'pods', uid, devicesName, pluginName.replace('/', '~'), at.name),
      );
      return (await Promise.all(links.map(isThere))).includes(true);
    },
    unpublish: async () => {
      for (const directory of [mapped, published]) {
        for (const uid of await names(directory)) {
          await removeMount(context, join(directory, uid));
          await mounter.removeTarget(join(directory, uid));
        }
      }
    },
    forget: async () => {
      for (const directory of [published, path, mapped]) await removeEmpty(directory);
      await rm(note, { force: true });
      for (const directory of [dirname(note), own]) await removeEmpty(directory);
    },
  };
}

async function readVolumeId(note: string, driver: string): Promise<string | undefined> {
  try {
    const { driverName, volumeHandle } = JSON.parse(await readFile(note, 'utf8')) as {
      driverName?: unknown;
      volumeHandle?: unknown;
    };
    return driverName === driver && typeof volumeHandle === 'string' ? volumeHandle : undefined;
  } catch {
    // Not written yet, or only half: the kubelet can't use it either.
    return undefined;
  }
}

/** Only what is not there is empty: of what can't be read nobody knows who uses it. */
function names(directory: string): Promise<string[]> {
  return readdir(directory).catch((error: unknown) => {
    if ((error as NodeJS.ErrnoException).code === 'ENOENT') return [];
    throw error;
  });
}

async function isThere(path: string): Promise<boolean> {
  return lstat(path).then(
    () => true,
    (error: unknown) => {
      if ((error as NodeJS.ErrnoException).code === 'ENOENT') return false;
      throw error;
    },
  );
}

/** What somebody wrote below a mount is not ours to delete: a directory with anything refuses. */
async function removeEmpty(directory: string): Promise<void> {
  await rmdir(directory).catch((error: unknown) => {
    if ((error as NodeJS.ErrnoException).code !== 'ENOENT') throw error;
  });
}
