import type { ServiceDefinition } from '@grpc/grpc-js';
import type { NodeDefinition } from '../../gen/px/v1/Node.js';
import { PxError } from '../../kernel/errors.js';
import { unaryService, type GrpcService } from '../../platform/grpc-server.js';
import { attachVolume, detachVolume } from './attach-volume.js';
import { getCapacity } from './capacity.js';
import { checkNodeStop } from './check-node-stop.js';
import { checkVolume } from './check-volume.js';
import type { NodeContext } from './context.js';
import { createVolume } from './create-volume.js';
import { cancelDecommission, decommissionNode } from './decommission.js';
import { deleteVolume, yieldVolume } from './delete-volume.js';
import { fenceNode, fenceReplicas } from './fence-node.js';
import { setMaintenance } from './node-flags.js';
import { listNodes, ownStatus } from './node-status.js';
import { publishVolume, unpublishVolume } from './publish-volume.js';
import { getVolume, listVolumes } from './read-volumes.js';
import { resizeVolume } from './resize-volume.js';
import { cloneVolume, createSnapshot, restoreSnapshot } from './snapshots.js';
import { deleteStoragePolicy, listStoragePolicies, putStoragePolicy } from './storage-policies.js';
import { updateReplicas } from './update-replicas.js';
import { updateVolume } from './update-volume.js';

/** The API px.v1.Node. */
export function nodeService(
  definition: ServiceDefinition,
  context: NodeContext,
  isPublished: () => boolean,
): GrpcService {
  return unaryService<NodeDefinition>(
    definition,
    {
      GetStatus: () => ownStatus(context, isPublished()),
      ListNodes: async () => ({ nodes: await listNodes(context) }),
      CreateVolume: (request, call) => createVolume(context, call, request),
      GetVolume: (request, call) => getVolume(context, call, request.id_or_name),
      ListVolumes: (request) => listVolumes(context, request),
      DeleteVolume: async (request) => {
        await deleteVolume(context, request.id_or_name);
        return {};
      },
      ResizeVolume: (request, call) => resizeVolume(context, call, request),
      UpdateVolume: (request, call) => updateVolume(context, call, request),
      CheckVolume: (request, call) => checkVolume(context, call, request),
      CreateSnapshot: (request, call) => createSnapshot(context, call, request),
      RestoreSnapshot: (request, call) => restoreSnapshot(context, call, request),
      CloneVolume: (request, call) => cloneVolume(context, call, request),
      PublishVolume: (request) => publishVolume(context, request),
      UnpublishVolume: (request) => unpublishVolume(context, request),
      AttachVolume: (request) => attachVolume(context, request),
      DetachVolume: async (request, call) => {
        await detachVolume(context, call, request);
        return {};
      },
      GetCapacity: (request) => getCapacity(context, request),
      UpdateReplicas: (request, call) => updateReplicas(context, call, request),
      CheckNodeStop: (request) => checkNodeStop(context, request),
      SetMaintenance: (request) => setMaintenance(context, request),
      DecommissionNode: (request) => decommissionNode(context, request),
      CancelDecommission: (request) => cancelDecommission(context, request),
      FenceNode: (request) => fenceNode(context, request),
      PutStoragePolicy: (request) => putStoragePolicy(context, request),
      DeleteStoragePolicy: async (request) => {
        await deleteStoragePolicy(context, request);
        return {};
      },
      ListStoragePolicies: () => listStoragePolicies(context),
      EnsureReplica: async (request) => {
        await context.engine.call('replica.ensure', {
          volumeId: request.volume_id,
          replicaId: request.replica_id,
          poolId: request.pool_id,
          sizeBytes: Number(request.size_bytes),
          blank: request.needs_resync,
        });
        return {};
      },
      RemoveReplica: async (request) => {
        await removeOwnReplica(context, request.volume_id, request.replica_id);
        return {};
      },
      YieldVolume: async (request) => {
        await yieldVolume(context, request.volume_id);
        return {};
      },
      FenceReplicas: (request) => fenceReplicas(context, request),
    },
    context.logger,
  );
}

/** Only what etcd says is deleted is removed: a peer that is wrong must not cost data. */
async function removeOwnReplica(
  context: NodeContext,
  volumeId: string,
  replicaId: string,
): Promise<void> {
  const stored = await context.volumes.get(volumeId);
  if (stored?.record.lifecycle !== 'deleting') {
    throw new PxError('failed_precondition', `volume "${volumeId}" is not being deleted`);
  }
  const mine = stored.record.replicas.find((replica) => replica.id === replicaId);
  if (mine === undefined) return;
  if (mine.nodeId !== context.self.id) {
    throw new PxError('invalid_argument', `replica ${replicaId} is not on this node`);
  }
  await context.engine.call('replica.remove', { volumeId, replicaId });
  await context.volumes.dropReplica(volumeId, replicaId);
}
