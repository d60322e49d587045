import type { CoordinatorStatus, ReplicaStatus } from './coordinator-types.js';
import type { CoordinatorCore } from './core.js';
import type { Joining } from './joining.js';
import type { Link } from './link.js';

/** What a person may want to know of an attached volume. */
export function describeCoordinator(core: CoordinatorCore, joining: Joining): CoordinatorStatus {
  return {
    phase: core.phase,
    reason: waitsFor(core),
    replicas: core.links.map((link) => describeReplica(link, joining)),
  };
}

function describeReplica(link: Link, joining: Joining): ReplicaStatus {
  const progress = joining.progress(link);
  const resync = link.role === 'joining' || link.role === 'adding';
  return {
    replicaId: link.replicaId,
    nodeId: link.nodeId,
    state: resync ? 'resync' : link.role === 'out' ? 'out' : 'in_sync',
    connected: link.up,
    reason: link.reason,
    resyncBytesDone: progress?.bytesDone ?? 0,
    resyncBytesTotal: progress?.bytesTotal ?? 0,
    resyncBytesCopied: progress?.bytesCopied ?? 0,
  };
}

function waitsFor(core: CoordinatorCore): string {
  if (core.phase !== 'serving' || core.inSyncUp().length > 0) return core.reason;
  const names = core.inSync().map((link) => link.nodeId);
  return `waits for the in-sync replicas on ${names.join(', ')}`;
}
