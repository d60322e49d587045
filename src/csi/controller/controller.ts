import type { ControllerDefinition } from '../../gen/csi/v1/Controller.js';
import type { _csi_v1_ControllerServiceCapability_RPC_Type as RpcType } from '../../gen/csi/v1/ControllerServiceCapability.js';
import type { UnaryHandlers } from '../../platform/grpc-server.js';
import { capacityHandlers } from './capacity.js';
import type { ControllerContext } from './context.js';
import { createVolume } from './create-volume.js';
import { deleteVolume } from './delete-volume.js';
import { expandVolume } from './expand-volume.js';
import { listHandlers } from './list-volumes.js';
import { modifyVolume } from './modify-volume.js';
import { publishHandlers } from './publish.js';
import { snapshotHandlers } from './snapshots.js';
import { validateCapabilities } from './validate.js';

export type ControllerHandlers = UnaryHandlers<ControllerDefinition>;

const capabilities: readonly RpcType[] = [
  'CREATE_DELETE_VOLUME',
  'PUBLISH_UNPUBLISH_VOLUME',
  'LIST_VOLUMES',
  'GET_CAPACITY',
  'CREATE_DELETE_SNAPSHOT',
  'LIST_SNAPSHOTS',
  'CLONE_VOLUME',
  'PUBLISH_READONLY',
  'EXPAND_VOLUME',
  'LIST_VOLUMES_PUBLISHED_NODES',
  'VOLUME_CONDITION',
  'GET_VOLUME',
  'SINGLE_NODE_MULTI_WRITER',
  'MODIFY_VOLUME',
  'GET_SNAPSHOT',
  'GET_VOLUME_HEALTH',
  'LIST_VOLUME_HEALTH',
];

/** The CSI controller service; every truth it tells comes from px-node. */
export function controllerHandlers(context: ControllerContext): ControllerHandlers {
  return {
    ControllerGetCapabilities: async () => ({
      capabilities: capabilities.map((type) => ({ rpc: { type } })),
    }),
    CreateVolume: (request) => createVolume(context, request),
    DeleteVolume: (request) => deleteVolume(context, request),
    ControllerExpandVolume: (request) => expandVolume(context, request),
    ValidateVolumeCapabilities: (request) => validateCapabilities(context, request),
    ControllerModifyVolume: (request) => modifyVolume(context, request),
    ...publishHandlers(context),
    ...listHandlers(context),
    ...capacityHandlers(context),
    ...snapshotHandlers(context),
  };
}
