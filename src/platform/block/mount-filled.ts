import type { FilesystemTool } from './filesystem.js';
import type { Mounter } from './mounter.js';
import type { FsType, ProbedDevice } from './probe.js';

export interface MountTools {
  readonly mounter: Mounter;
  readonly filesystems: FilesystemTool;
}

export interface FilledMount {
  readonly device: ProbedDevice;
  readonly path: string;
  readonly fsType: FsType;
  readonly options: readonly string[];
}

/**
 * Mounts for writing a file system that may be smaller than its device: that
 * of a copy of a smaller volume, or of one that grew while it was mounted
 * nowhere. When it does not grow, `refused` is told why; it may throw, and then
 * an ext4 is not mounted.
 */
export async function mountFilled(
  tools: MountTools,
  wish: FilledMount,
  refused: (thrown: unknown) => void,
): Promise<void> {
  const { mounter, filesystems } = tools;
  const { device, path, fsType } = wish;
  const mount = () => mounter.mount(device.path, path, fsType, wish.options);
  await mount();
  try {
    await filesystems.grow(device.path, path, fsType);
  } catch (thrown) {
    // XFS grows only while it is mounted.
    if (fsType === 'xfs') return refused(thrown);
    // Nobody has it yet, so what cannot be done while it is mounted is done before.
    await mounter.unmountLayer(path);
    await filesystems.growUnmounted(device).catch(refused);
    await mount();
  }
}
