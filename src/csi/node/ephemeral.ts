import type { NodePublishVolumeRequest__Output } from '../../gen/csi/v1/NodePublishVolumeRequest.js';
import type { Volume__Output } from '../../gen/px/v1/Volume.js';
import { PxError } from '../../kernel/errors.js';
import { readAccess, type Access } from '../capability.js';
import { parseStorageClass, type ClassParameters } from '../parameters/storage-class.js';
import { badValue, parseBytes } from '../parameters/values.js';
import { lookUpVolume, pxTimeouts, required } from '../px-volumes.js';
import { chooseSizeBytes, readSizeRange } from '../sizes.js';
import { volumeSpec } from '../volume-spec.js';
import { attachDevice } from './attached-device.js';
import { absolutePath, ownNodeId, type NodeContext } from './context.js';
import { removeMount } from './published-mounts.js';
import { stageFilesystem } from './stage-filesystem.js';

/**
 * Volumes that live as long as their pod (`volumes[].csi` of a pod). Kubernetes
 * calls no controller for them: publish makes, attaches and mounts, unpublish
 * takes all of it away. Their name is the id that the kubelet gives, and this
 * label tells them from every other volume, which no unpublish may delete.
 */
const ephemeralLabel = 'px/ephemeral';
const contextPrefix = 'csi.storage.k8s.io/';
const ephemeralKey = `${contextPrefix}ephemeral`;

export function asksEphemeral(request: NodePublishVolumeRequest__Output): boolean {
  return request.volume_context[ephemeralKey] === 'true';
}

export async function publishEphemeral(
  context: NodeContext,
  request: NodePublishVolumeRequest__Output,
): Promise<Record<string, never>> {
  const name = required(request.volume_id, 'volume_id');
  const target = absolutePath(request.target_path, 'target_path');
  const access = readAccess(request.volume_capability);
  if (access.kind === 'block') {
    throw new PxError(
      'invalid_argument',
      'a volume of a pod alone has a file system, no raw block',
    );
  }
  const { parameters, sizeBytes } = readAttributes(request.volume_context);
  return context.locks.run(name, 'NodePublishVolume', async () => {
    const volume = await ensureVolume(context, { name, parameters, sizeBytes, access, request });
    const device = await attachDevice(context, volume.id, false);
    await stageFilesystem(context, {
      volume,
      device,
      path: target,
      access,
      readOnly: request.readonly || access.readOnly,
      classMountOptions: parameters.mountOptions ?? [],
      formatOptions: parameters.formatOptions ?? [],
    });
    return {};
  });
}

/** True when the id was such a volume's; everything of it is gone then. */
export async function unpublishEphemeral(
  context: NodeContext,
  name: string,
  target: string,
): Promise<boolean> {
  const volume = await lookUpVolume(context.px, name);
  if (volume === undefined || !isEphemeral(volume, name)) return false;
  await removeMount(context, target);
  await context.mounter.removeTarget(target);
  const attachedHere = volume.attached_on === (await ownNodeId(context));
  if (attachedHere) {
    const detach = { id_or_name: volume.id, force: false };
    await context.px.DetachVolume(detach, { timeoutMs: pxTimeouts.attachMs });
  }
  await context.px.DeleteVolume({ id_or_name: volume.id }, { timeoutMs: pxTimeouts.changeMs });
  return true;
}

/** Whether an id that the kubelet made names this volume. */
export function isEphemeral(volume: Volume__Output, id: string): boolean {
  return volume.name === id && volume.spec?.labels[ephemeralLabel] === 'true';
}

function readAttributes(context: Readonly<Record<string, string>>): {
  parameters: ClassParameters;
  sizeBytes: number;
} {
  const attributes = Object.fromEntries(
    Object.entries(context).filter(([key]) => !key.startsWith(contextPrefix)),
  );
  const { size, ...rest } = attributes;
  const asked = size === undefined ? 0 : parseBytes('size', size);
  const range = readSizeRange({ required_bytes: String(asked), limit_bytes: '0' });
  const parameters = parseStorageClass(rest);
  if (parameters.sticky === true) {
    throw badValue('sticky', rest.sticky ?? '', 'leave it out; this volume ends with its pod');
  }
  if (parameters.fs === 'none') throw badValue('fs', 'none', 'ext4, xfs');
  return { parameters, sizeBytes: chooseSizeBytes(range, 0) };
}

interface Wish {
  readonly name: string;
  readonly parameters: ClassParameters;
  readonly sizeBytes: number;
  readonly access: Access;
  readonly request: NodePublishVolumeRequest__Output;
}

async function ensureVolume(context: NodeContext, wish: Wish): Promise<Volume__Output> {
  const existing = await lookUpVolume(context.px, wish.name);
  if (existing !== undefined) {
    if (isEphemeral(existing, wish.name)) return existing;
    throw new PxError('already_exists', `a volume "${wish.name}" exists and is no pod's own`);
  }
  const { parameters, access, request } = wish;
  const namespace = request.volume_context[`${contextPrefix}pod.namespace`] ?? '';
  const pod = request.volume_context[`${contextPrefix}pod.name`] ?? '';
  const labels = { ...parameters.labels, [ephemeralLabel]: 'true', namespace, pod };
  const fs = parameters.fs ?? (access.fsType === '' ? 'ext4' : access.fsType);
  return context.px.CreateVolume(
    {
      name: wish.name,
      spec: volumeSpec({ ...parameters, labels }, { fs, sizeBytes: wish.sizeBytes }),
      // Its one pod runs here.
      preferred_nodes: [await ownNodeId(context)],
    },
    { timeoutMs: pxTimeouts.changeMs },
  );
}
