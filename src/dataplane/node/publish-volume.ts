import { PxError } from '../../kernel/errors.js';
import type { PublishVolumeRequest__Output } from '../../gen/px/v1/PublishVolumeRequest.js';
import type { UnpublishVolumeRequest__Output } from '../../gen/px/v1/UnpublishVolumeRequest.js';
import type { Volume } from '../../gen/px/v1/Volume.js';
import type { NodeContext } from './context.js';
import { waitForDead } from './dead-nodes.js';
import { viewVolume } from './volume-view.js';

/** Reserves the volume for a node. Whoever holds the reservation may attach it, and nobody else. */
export async function publishVolume(
  context: NodeContext,
  request: PublishVolumeRequest__Output,
): Promise<Volume> {
  const { record } = await context.volumes.require(request.id_or_name);
  const nodes = (await context.view.fresh()).nodes;
  const nodeId = findNode([...nodes.values()], request.node_id);
  const holderNow = record.publishedOn;
  if (!request.force && holderNow !== nodeId) await waitForDead(context, [holderNow]);
  const state = await context.view.fresh();
  const readOnly = request.read_only;
  const published = await context.volumes.update(record.id, (current) => {
    if (current.lifecycle !== 'ready') {
      throw new PxError('failed_precondition', `volume "${current.name}" is ${current.lifecycle}`);
    }
    const holder = current.publishedOn;
    if (holder !== '' && holder !== nodeId && state.alive.has(holder) && !request.force) {
      const name = state.nodes.get(holder)?.name ?? holder;
      throw new PxError(
        'failed_precondition',
        `volume "${current.name}" is published on ${name}; unpublish it there first`,
        { publishedOn: holder },
      );
    }
    const { reservedByAttach, ...rest } = current;
    const already = holder === nodeId && reservedByAttach !== true;
    if (already && current.publishedReadOnly === readOnly) return undefined;
    return { ...rest, publishedOn: nodeId, publishedReadOnly: readOnly };
  });
  return viewVolume(published, await context.view.fresh());
}

/** Gives the reservation back; one that another node holds is left alone. */
export async function unpublishVolume(
  context: NodeContext,
  request: UnpublishVolumeRequest__Output,
): Promise<Volume> {
  const { record } = await context.volumes.require(request.id_or_name);
  const state = await context.view.fresh();
  const asked = request.node_id;
  const node = [...state.nodes.values()].find(({ id, name }) => id === asked || name === asked);
  const nodeId = node?.id ?? asked;
  const unpublished = await context.volumes.update(record.id, (current) => {
    if (current.publishedOn === '') return undefined;
    if (nodeId !== '' && current.publishedOn !== nodeId) return undefined;
    const { reservedByAttach, ...rest } = current;
    // A reservation that came with an attach ends with the detach.
    if (reservedByAttach === true) return undefined;
    return { ...rest, publishedOn: '', publishedReadOnly: false };
  });
  return viewVolume(unpublished, await context.view.fresh());
}

function findNode(nodes: readonly { id: string; name: string }[], asked: string): string {
  const found = nodes.find(({ id, name }) => id === asked || name === asked);
  if (found === undefined) throw new PxError('not_found', `there is no node "${asked}"`);
  return found.id;
}
