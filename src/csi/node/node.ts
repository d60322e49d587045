import type { NodeDefinition } from '../../gen/csi/v1/Node.js';
import type { _csi_v1_NodeServiceCapability_RPC_Type as RpcType } from '../../gen/csi/v1/NodeServiceCapability.js';
import type { UnaryHandlers } from '../../platform/grpc-server.js';
import { pxTimeouts } from '../px-volumes.js';
import type { NodeContext } from './context.js';
import { expandHandlers } from './expand.js';
import { publishHandlers } from './publish.js';
import { stageHandlers } from './stage.js';
import { statsHandlers } from './stats.js';

const capabilities: readonly RpcType[] = [
  'STAGE_UNSTAGE_VOLUME',
  'GET_VOLUME_STATS',
  'EXPAND_VOLUME',
  'VOLUME_CONDITION',
  'SINGLE_NODE_MULTI_WRITER',
  'GET_VOLUME_HEALTH',
];

/** The CSI node service. Its memory is the kernel's mount table and px-node. */
export function nodeHandlers(context: NodeContext): UnaryHandlers<NodeDefinition> {
  return {
    NodeGetCapabilities: async () => ({
      capabilities: capabilities.map((type) => ({ rpc: { type } })),
    }),
    NodeGetInfo: async () => {
      const node = await context.px.GetStatus({}, { timeoutMs: pxTimeouts.readMs });
      return {
        node_id: node.id,
        max_volumes_per_node: context.maxVolumesPerNode,
        accessible_topology: { segments: context.topology.segmentsOf(node) },
      };
    },
    ...stageHandlers(context),
    ...publishHandlers(context),
    ...expandHandlers(context),
    ...statsHandlers(context),
  };
}
