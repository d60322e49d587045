import type { StorageNodePhase } from '../../crds/storage-node.js';

/** How a node is, in a word, from what Kubernetes and px say of it. Pure. */

export interface NodeObservation {
  readonly name: string;
  /** Undefined when the Kubernetes node is not there (any more). */
  readonly kubernetes:
    | { readonly ready: boolean; readonly decommissioned: boolean; readonly outOfService: boolean }
    | undefined;
  readonly pod:
    | {
        readonly ready: boolean;
        readonly terminating: boolean;
        readonly ageMs: number;
        readonly trouble: string | undefined;
      }
    | undefined;
  /** `silent`: px does not answer at all, so nothing is known of any node. */
  readonly px:
    | 'silent'
    | 'unknown'
    | {
        readonly state: string;
        readonly stateReason: string;
        readonly maintenance: boolean;
        readonly decommission: string;
      };
}

export interface PhaseAndReason {
  readonly phase: StorageNodePhase;
  readonly reason: string;
}

/** How long a new pod may take until px there counts as offline, and not as being updated. */
const startMs = 300_000;

export function phaseOf(node: NodeObservation): PhaseAndReason {
  const { px, pod } = node;
  if (typeof px === 'string') return withoutPx(node, px);
  if (node.kubernetes?.decommissioned === true) {
    return { phase: 'Decommissioned', reason: 'its replicas were moved to other nodes' };
  }
  switch (px.state) {
    case 'offline':
      return offline(node, px.stateReason);
    case 'maintenance':
      return { phase: 'Maintenance', reason: px.stateReason };
    case 'initializing':
      return { phase: 'Initializing', reason: px.stateReason };
    case 'kvdb_unavailable':
      return { phase: 'NotInQuorum', reason: px.stateReason };
    case 'degraded':
      return { phase: 'Degraded', reason: px.stateReason };
    case 'operational':
      if (px.maintenance) return { phase: 'Maintenance', reason: 'nothing new is placed here' };
      if (pod?.terminating === true) return { phase: 'Updating', reason: 'its pod is replaced' };
      // One that is well may say, too, that it stores nothing.
      return { phase: 'Online', reason: px.stateReason };
    default:
      return { phase: 'Unknown', reason: `px calls its state "${px.state}"` };
  }
}

function withoutPx({ pod, kubernetes }: NodeObservation, px: 'silent' | 'unknown'): PhaseAndReason {
  if (kubernetes?.decommissioned === true) {
    return { phase: 'Decommissioned', reason: 'px has forgotten the node' };
  }
  if (pod?.trouble !== undefined) return { phase: 'Failed', reason: pod.trouble };
  if (px === 'silent') return { phase: 'Unknown', reason: 'no px-node of the cluster answers' };
  return { phase: 'Initializing', reason: 'px does not know it yet' };
}

function offline(node: NodeObservation, stateReason: string): PhaseAndReason {
  const { kubernetes, pod, name } = node;
  if (kubernetes === undefined) {
    return {
      phase: 'Offline',
      reason:
        'its Kubernetes node is gone; its replicas stay on record until a person says that it ' +
        `will not come back: "pxctl cluster delete ${name}", or the annotation px.io/decommission=true here`,
    };
  }
  if (kubernetes.outOfService) {
    return { phase: 'Offline', reason: 'it is fenced and out of service until it is back' };
  }
  if (pod?.trouble !== undefined) return { phase: 'Failed', reason: pod.trouble };
  if (kubernetes.ready && isBeingReplaced(pod)) {
    return { phase: 'Updating', reason: 'its pod is replaced' };
  }
  const why = kubernetes.ready ? stateReason : `${stateReason}; its kubelet is not ready`;
  return { phase: 'Offline', reason: why };
}

function isBeingReplaced(pod: NodeObservation['pod']): boolean {
  return pod === undefined || pod.terminating || (!pod.ready && pod.ageMs < startMs);
}
