import type { NodeStageVolumeRequest__Output } from '../../gen/csi/v1/NodeStageVolumeRequest.js';
import type { NodeUnstageVolumeRequest__Output } from '../../gen/csi/v1/NodeUnstageVolumeRequest.js';
import type { Volume__Output } from '../../gen/px/v1/Volume.js';
import { PxError } from '../../kernel/errors.js';
import { readAccess } from '../capability.js';
import { findVolume, pxTimeouts, required, requireVolume } from '../px-volumes.js';
import { asksReadOnly, formatOptionsOf, mountOptionsOf } from '../volume-context.js';
import { attachDevice, findAttachedDevice } from './attached-device.js';
import { absolutePath, ownNodeId, type NodeContext } from './context.js';
import { mountsOf, removeMount } from './published-mounts.js';
import { stageFilesystem } from './stage-filesystem.js';

export function stageHandlers(context: NodeContext) {
  return {
    NodeStageVolume: (request: NodeStageVolumeRequest__Output) => stageVolume(context, request),
    NodeUnstageVolume: (request: NodeUnstageVolumeRequest__Output) =>
      unstageVolume(context, request),
  };
}

/**
 * Attach, and for a file system: format when empty, check, mount. Every step
 * looks first whether it is done, so a call that was cut off anywhere is
 * finished by the next one.
 */
async function stageVolume(
  context: NodeContext,
  request: NodeStageVolumeRequest__Output,
): Promise<Record<string, never>> {
  const id = required(request.volume_id, 'volume_id');
  const path = absolutePath(request.staging_target_path, 'staging_target_path');
  const access = readAccess(request.volume_capability);
  const classMountOptions = mountOptionsOf(request.volume_context);
  const formatOptions = formatOptionsOf(request.volume_context);
  const readOnly = asksReadOnly(access, request.publish_context);
  return context.locks.run(id, 'NodeStageVolume', async () => {
    const volume = await requireVolume(context.px, id);
    if (access.kind === 'block') {
      await attachDevice(context, id, readOnly || volume.read_only);
      return {};
    }
    // A read-only mount of a journaling file system may still have to replay its
    // journal, so the device is read-only only where the volume itself is.
    const device = await attachDevice(context, id, volume.read_only);
    await stageFilesystem(context, {
      volume,
      device,
      path,
      access,
      readOnly: readOnly || device.readOnly,
      classMountOptions,
      formatOptions,
    });
    return {};
  });
}

async function unstageVolume(
  context: NodeContext,
  request: NodeUnstageVolumeRequest__Output,
): Promise<Record<string, never>> {
  const id = required(request.volume_id, 'volume_id');
  const path = absolutePath(request.staging_target_path, 'staging_target_path');
  return context.locks.run(id, 'NodeUnstageVolume', async () => {
    await removeStage(context, await findVolume(context.px, id), path);
    return {};
  });
}

/** For who holds the volume's lock: unmounts and detaches it, unless pods still have it. */
export async function removeStage(
  context: NodeContext,
  volume: Volume__Output | undefined,
  path: string,
): Promise<void> {
  if (volume !== undefined) await refuseWhilePublished(context, volume, path);
  await removeMount(context, path);
  if (volume !== undefined) await detach(context, volume);
}

/** A device must not go away under a pod that still has it. */
async function refuseWhilePublished(
  context: NodeContext,
  volume: Volume__Output,
  stagingPath: string,
): Promise<void> {
  const device = await findAttachedDevice(context, volume).catch(() => undefined);
  if (device === undefined) return;
  const staged = await context.mounter.at(stagingPath);
  const others = (await mountsOf(context, device)).filter(
    (entry) => entry.mountPoint !== staged?.mountPoint,
  );
  if (others.length === 0) return;
  const paths = others.map((entry) => entry.mountPoint).join(', ');
  throw new PxError(
    'failed_precondition',
    `volume "${volume.id}" is still published at ${paths}; unpublish it first`,
  );
}

async function detach(context: NodeContext, volume: Volume__Output): Promise<void> {
  // Attached elsewhere: this node has nothing of it left to give back.
  if (volume.attached_on !== '' && volume.attached_on !== (await ownNodeId(context))) return;
  await context.px.DetachVolume(
    { id_or_name: volume.id, force: false },
    { timeoutMs: pxTimeouts.attachMs },
  );
}
