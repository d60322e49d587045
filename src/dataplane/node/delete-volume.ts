import { PxError } from '../../kernel/errors.js';
import type { VolumeRecord } from '../../kernel/volume-record.js';
import type { ClusterState } from '../cluster/cluster-view.js';
import { lockWaitMs, type NodeContext } from './context.js';
import { forwarded } from './peers.js';
import { removeReplicaOn } from './replicas.js';
import { isInternal } from './volume-view.js';

const yieldTimeoutMs = 30_000;

/**
 * Marks the volume as going, which frees its name, and has its replicas
 * removed. What can't be removed now, its node removes when it is back.
 */
export async function deleteVolume(context: NodeContext, idOrName: string): Promise<void> {
  const found = await context.volumes.find(idOrName);
  if (found === undefined || found.record.lifecycle === 'deleting') return;
  const { id } = found.record;
  await endInternalWork(context, found.record);
  await context.locks.run(id, lockWaitMs, async () => {
    const state = await context.view.fresh();
    const marked = await context.volumes.markDeleting(id, (record) =>
      checkDeletable(record, state),
    );
    if (marked === undefined) return;
    context.logger.info('volume deleted', { volume: id, name: marked.name });
    await removeReplicas(context, marked);
  });
}

/** Throws PxError `failed_precondition` while the volume has, or may have, a user. */
export function checkDeletable(
  record: VolumeRecord,
  state: Pick<ClusterState, 'nodes' | 'alive'>,
): void {
  const refuse = (why: string) =>
    new PxError('failed_precondition', `volume "${record.name}" ${why}`, { id: record.id });
  const nameOf = (nodeId: string) => state.nodes.get(nodeId)?.name ?? nodeId;
  if (record.spec.sticky) {
    throw refuse(`is sticky; clear that first ("pxctl volume update ${record.name} --sticky off")`);
  }
  if (record.attachedOn !== '' && state.alive.has(record.attachedOn)) {
    throw refuse(`is attached on ${nameOf(record.attachedOn)}; detach it first`);
  }
  if (record.attachedOn !== '' && record.reservedByAttach === true) {
    // Its lease ends with etcd's connection; whoever uses the device may go on after that.
    throw refuse(
      `was attached on ${nameOf(record.attachedOn)}, which px does not hear of; detach it first`,
    );
  }
  if (record.publishedOn !== '' && record.reservedByAttach !== true) {
    throw refuse(`is published on ${nameOf(record.publishedOn)}; unpublish it first`);
  }
}

/** The replicas that answer are removed now; a failure only leaves it to their nodes. */
export async function removeReplicas(context: NodeContext, record: VolumeRecord): Promise<void> {
  // A record without replicas (a snapshot that failed early) has nobody to remove it.
  if (record.replicas.length === 0) return context.volumes.dropReplica(record.id, '');
  const results = await Promise.allSettled(
    record.replicas.map((replica) => removeReplicaOn(context, record, replica)),
  );
  for (const result of results) {
    if (result.status === 'fulfilled') continue;
    context.logger.info('a replica is removed later', {
      volume: record.id,
      error: result.reason as unknown,
    });
  }
}

/** Asks whichever node works on the volume for itself to stop. */
export async function endInternalWork(context: NodeContext, record: VolumeRecord): Promise<void> {
  const state = await context.view.fresh();
  const nodeId = record.attachedOn;
  if (!isInternal(record, state) || !state.alive.has(nodeId)) return;
  if (nodeId === context.self.id) return yieldVolume(context, record.id);
  await context.peers
    .api(nodeId)
    .YieldVolume({ volume_id: record.id }, { timeoutMs: yieldTimeoutMs, metadata: forwarded });
}

/** Ends this node's own work on the volume, after what is at work on it now. */
export async function yieldVolume(context: NodeContext, volumeId: string): Promise<void> {
  await context.locks.run(volumeId, lockWaitMs, async () => {
    const attached = await context.internal.current(volumeId);
    if (attached !== undefined && attached.frontend !== 'none') {
      throw new PxError('failed_precondition', `volume "${volumeId}" is attached by a user here`);
    }
    await context.internal.end(volumeId);
  });
}
