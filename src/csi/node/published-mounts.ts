import { basename } from 'node:path';
import type { BlockDevice } from '../../platform/block/block-device.js';
import type { MountEntry } from '../../platform/block/mountinfo.js';
import type { NodeContext } from './context.js';

/**
 * Every mount that shows a device's content: mounts of its file system, and
 * binds of its node, which mountinfo lists as a file of devtmpfs.
 */
export async function mountsOf(context: NodeContext, device: BlockDevice): Promise<MountEntry[]> {
  const nodeRoot = `/${basename(device.path)}`;
  return (await context.mounter.list()).filter(
    (entry) =>
      entry.device === device.number || (entry.fsType === 'devtmpfs' && entry.root === nodeRoot),
  );
}

/**
 * Takes a mount away. One whose device is gone answers nothing and cannot be
 * written back: it is detached from the path even while processes hold it.
 */
export async function removeMount(context: NodeContext, path: string): Promise<void> {
  const { mounter } = context;
  const state = await mounter.inspect(path);
  if (state.kind === 'corrupted') {
    await mounter.unmount(path).catch(() => mounter.detach(path));
  } else if (state.kind === 'present') await mounter.unmount(path);
}
