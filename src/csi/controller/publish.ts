import type { ControllerPublishVolumeRequest__Output } from '../../gen/csi/v1/ControllerPublishVolumeRequest.js';
import type { ControllerPublishVolumeResponse } from '../../gen/csi/v1/ControllerPublishVolumeResponse.js';
import type { ControllerUnpublishVolumeRequest__Output } from '../../gen/csi/v1/ControllerUnpublishVolumeRequest.js';
import { PxError } from '../../kernel/errors.js';
import { readAccess } from '../capability.js';
import { findVolume, listNodes, pxTimeouts, required, requireVolume } from '../px-volumes.js';
import { publishContext } from '../volume-context.js';
import type { ControllerContext } from './context.js';

export function publishHandlers(context: ControllerContext) {
  return {
    ControllerPublishVolume: (request: ControllerPublishVolumeRequest__Output) =>
      publishVolume(context, request),
    ControllerUnpublishVolume: (request: ControllerUnpublishVolumeRequest__Output) =>
      unpublishVolume(context, request),
  };
}

async function publishVolume(
  context: ControllerContext,
  request: ControllerPublishVolumeRequest__Output,
): Promise<ControllerPublishVolumeResponse> {
  const id = required(request.volume_id, 'volume_id');
  const nodeId = required(request.node_id, 'node_id');
  const access = readAccess(request.volume_capability);
  const readOnly = request.readonly || access.readOnly;
  return context.locks.run(id, 'ControllerPublishVolume', async () => {
    const volume = await requireVolume(context.px, id);
    const nodes = await listNodes(context.px);
    if (!nodes.some((node) => node.id === nodeId)) {
      throw new PxError('not_found', `there is no node "${nodeId}"`, { nodeId });
    }
    if (volume.read_only && !readOnly) {
      throw new PxError('failed_precondition', `"${id}" is a snapshot: publish it read-only`);
    }
    if (volume.published_on === nodeId && volume.published_read_only !== readOnly) {
      throw new PxError(
        'already_exists',
        `volume "${id}" is published to "${nodeId}" ` +
          (readOnly ? 'for writing, not read-only' : 'read-only, not for writing'),
      );
    }
    await context.px.PublishVolume(
      { id_or_name: id, node_id: nodeId, read_only: readOnly, force: false },
      { timeoutMs: pxTimeouts.changeMs },
    );
    return { publish_context: publishContext(readOnly) };
  });
}

/** An empty node_id means every node; a volume can be published to one only. */
async function unpublishVolume(
  context: ControllerContext,
  request: ControllerUnpublishVolumeRequest__Output,
): Promise<Record<string, never>> {
  const id = required(request.volume_id, 'volume_id');
  return context.locks.run(id, 'ControllerUnpublishVolume', async () => {
    const volume = await findVolume(context.px, id);
    const publishedOn = volume?.published_on ?? '';
    const concerned = request.node_id === '' || request.node_id === publishedOn;
    if (publishedOn !== '' && concerned) {
      await context.px.UnpublishVolume(
        { id_or_name: id, node_id: publishedOn },
        { timeoutMs: pxTimeouts.changeMs },
      );
    }
    return {};
  });
}
