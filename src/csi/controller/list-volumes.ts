import type { ControllerGetVolumeHealthRequest__Output } from '../../gen/csi/v1/ControllerGetVolumeHealthRequest.js';
import type { ControllerGetVolumeRequest__Output } from '../../gen/csi/v1/ControllerGetVolumeRequest.js';
import type { ControllerListVolumeHealthRequest__Output } from '../../gen/csi/v1/ControllerListVolumeHealthRequest.js';
import type { ListVolumesRequest__Output } from '../../gen/csi/v1/ListVolumesRequest.js';
import type { NodeStatus__Output } from '../../gen/px/v1/NodeStatus.js';
import type { Volume__Output } from '../../gen/px/v1/Volume.js';
import { listNodes, required, requireVolume } from '../px-volumes.js';
import { conditionOf, healthOf } from '../volume-health.js';
import type { ControllerContext } from './context.js';
import { publishedNodes, volumeMessage } from './messages.js';
import { listPage } from './pages.js';

/** Snapshots are volumes to px-node and not to CSI. */
const volumesOnly = { no_snapshots: true };

export function listHandlers(context: ControllerContext) {
  const { px } = context;
  return {
    ListVolumes: async (request: ListVolumesRequest__Output) => {
      const page = await listPage(px, request.max_entries, request.starting_token, volumesOnly);
      const nodes = await listNodes(px);
      return {
        entries: page.volumes.map((volume) => describe(context, volume, nodes)),
        next_token: page.nextToken,
      };
    },
    ControllerGetVolume: async (request: ControllerGetVolumeRequest__Output) => {
      const volume = await requireVolume(px, required(request.volume_id, 'volume_id'));
      return describe(context, volume, await listNodes(px));
    },
    ControllerListVolumeHealth: async (request: ControllerListVolumeHealthRequest__Output) => {
      const page = await listPage(px, request.max_entries, request.starting_token, volumesOnly);
      return {
        entries: page.volumes.map((volume) => healthOf(volume)),
        next_token: page.nextToken,
      };
    },
    ControllerGetVolumeHealth: async (request: ControllerGetVolumeHealthRequest__Output) => {
      const volume = await requireVolume(px, required(request.volume_id, 'volume_id'));
      return { volume_health: healthOf(volume) };
    },
  };
}

function describe(
  context: ControllerContext,
  volume: Volume__Output,
  nodes: readonly NodeStatus__Output[],
) {
  return {
    volume: volumeMessage(volume, nodes, context.topology),
    status: { published_node_ids: publishedNodes(volume), volume_condition: conditionOf(volume) },
  };
}
