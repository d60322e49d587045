import type { NodePublishVolumeRequest__Output } from '../../gen/csi/v1/NodePublishVolumeRequest.js';
import type { NodeUnpublishVolumeRequest__Output } from '../../gen/csi/v1/NodeUnpublishVolumeRequest.js';
import type { Volume__Output } from '../../gen/px/v1/Volume.js';
import { PxError } from '../../kernel/errors.js';
import { deviceNumberOf, type BlockDevice } from '../../platform/block/block-device.js';
import { isReadOnly } from '../../platform/block/mountinfo.js';
import { readAccess, type Access } from '../capability.js';
import { required, requireVolume } from '../px-volumes.js';
import { asksReadOnly } from '../volume-context.js';
import { requireAttachedDevice } from './attached-device.js';
import { absolutePath, type NodeContext } from './context.js';
import { asksEphemeral, publishEphemeral, unpublishEphemeral } from './ephemeral.js';
import { mountsOf, removeMount } from './published-mounts.js';

export function publishHandlers(context: NodeContext) {
  return {
    NodePublishVolume: (request: NodePublishVolumeRequest__Output) =>
      publishVolume(context, request),
    NodeUnpublishVolume: (request: NodeUnpublishVolumeRequest__Output) =>
      unpublishVolume(context, request),
  };
}

interface PublishWish {
  readonly volume: Volume__Output;
  readonly device: BlockDevice;
  /** What is bound: the staging path, or the device's node. */
  readonly source: string;
  readonly stagingPath: string;
  readonly target: string;
  readonly access: Access;
  readonly readOnly: boolean;
}

async function publishVolume(
  context: NodeContext,
  request: NodePublishVolumeRequest__Output,
): Promise<Record<string, never>> {
  if (asksEphemeral(request)) return publishEphemeral(context, request);
  const id = required(request.volume_id, 'volume_id');
  const target = absolutePath(request.target_path, 'target_path');
  const access = readAccess(request.volume_capability);
  const stagingPath = absolutePath(request.staging_target_path, 'staging_target_path');
  const readOnly = request.readonly || asksReadOnly(access, request.publish_context);
  return context.locks.run(id, 'NodePublishVolume', async () => {
    const volume = await requireVolume(context.px, id);
    const device = await requireAttachedDevice(context, volume);
    const source = access.kind === 'block' ? device.path : stagingPath;
    await publish(context, {
      volume,
      device,
      source,
      stagingPath,
      target,
      access,
      readOnly: readOnly || volume.read_only,
    });
    return {};
  });
}

async function publish(context: NodeContext, wish: PublishWish): Promise<void> {
  const { mounter } = context;
  const { access, target } = wish;
  if (access.kind === 'mount') await requireStaged(context, wish);
  if (!(await isPublished(context, wish))) {
    await refuseSecondTarget(context, wish);
    await (access.kind === 'block' ? mounter.makeFile(target) : mounter.makeDirectory(target));
    await mounter.bind(wish.source, target);
  }
  const entry = await mounter.at(target);
  const readOnly = entry !== undefined && isReadOnly(entry);
  // Also finishes a call that was cut off between the bind and its remount.
  if (wish.readOnly && !readOnly) await mounter.makeBindReadOnly(target);
  if (!wish.readOnly && readOnly) {
    throw new PxError(
      'already_exists',
      `volume "${wish.volume.id}" is published read-only at ${target}`,
    );
  }
}

async function requireStaged(context: NodeContext, wish: PublishWish): Promise<void> {
  const staged = await context.mounter.at(wish.stagingPath);
  if (staged?.device === wish.device.number) return;
  throw new PxError(
    'failed_precondition',
    `volume "${wish.volume.id}" is not staged at ${wish.stagingPath}`,
  );
}

/** Whether the target shows this device; what shows something stale is taken away. */
async function isPublished(context: NodeContext, wish: PublishWish): Promise<boolean> {
  const { mounter, logger } = context;
  const entry = await mounter.at(wish.target);
  if (entry === undefined) return false;
  const state = await mounter.inspect(wish.target);
  if (state.kind === 'present') {
    const shown = wish.access.kind === 'block' ? deviceNumberOf(state.stats) : entry.device;
    if (shown === wish.device.number) return true;
  }
  logger.warn('a stale mount is replaced', { path: wish.target, was: entry.device });
  await removeMount(context, wish.target);
  return false;
}

/** ReadWriteOncePod: the kernel's table says whether another pod on this node has it. */
async function refuseSecondTarget(context: NodeContext, wish: PublishWish): Promise<void> {
  if (!wish.access.singleTarget) return;
  const own = await context.mounter.at(wish.stagingPath);
  const others = (await mountsOf(context, wish.device)).filter(
    (entry) => entry.mountPoint !== own?.mountPoint,
  );
  const first = others[0];
  if (first === undefined) return;
  throw new PxError(
    'failed_precondition',
    `volume "${wish.volume.id}" may be used by one pod only and is published at ${first.mountPoint}`,
  );
}

/** The kubelet names a pod's own volumes itself, and only them so. */
const ephemeralId = /^csi-[0-9a-f]{64}$/;

/**
 * Needs neither px-node nor the volume's record, as a pod must be able to end
 * without them; only a volume that ends with its pod does.
 */
async function unpublishVolume(
  context: NodeContext,
  request: NodeUnpublishVolumeRequest__Output,
): Promise<Record<string, never>> {
  const id = required(request.volume_id, 'volume_id');
  const target = absolutePath(request.target_path, 'target_path');
  return context.locks.run(id, 'NodeUnpublishVolume', async () => {
    if (ephemeralId.test(id) && (await unpublishEphemeral(context, id, target))) return {};
    await removeMount(context, target);
    await context.mounter.removeTarget(target);
    return {};
  });
}
