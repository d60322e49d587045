import type { TopologyRequirement__Output } from '../../gen/csi/v1/TopologyRequirement.js';
import type { NodeStatus__Output } from '../../gen/px/v1/NodeStatus.js';
import { PxError } from '../../kernel/errors.js';
import type { TopologyKeys } from '../topology.js';

export interface Placement {
  /** Ids, best first: the pod's own node comes first when the scheduler chose it. */
  readonly preferredNodes: string[];
  readonly required: { segments: Record<string, string> }[];
}

/**
 * What a topology requirement means for replicas. `requisite` says from where
 * the volume must be usable, not where every copy must lie: with a delayed
 * binding it is often the pod's node alone, and three copies cannot lie on one
 * node. Any node of a region can attach a volume of that region, so the
 * requirement is that the replicas lie in those regions, unless the class names
 * regions itself.
 */
export function chooseNodes(
  topology: TopologyKeys,
  nodes: readonly NodeStatus__Output[],
  requirement: TopologyRequirement__Output | null,
  options: { readonly anyRegion: boolean },
): Placement {
  const requisite = requirement?.requisite ?? [];
  const preferred = requirement?.preferred ?? [];
  const possible = topology.nodesIn(requisite, nodes);
  if (requisite.length > 0 && possible.length === 0) {
    const asked = requisite.map((term) => JSON.stringify(term.segments)).join(' or ');
    throw new PxError('resource_exhausted', `no node of the cluster is in ${asked}`);
  }
  const ordered = new Set([...topology.nodesIn(preferred, nodes), ...possible]);
  const regions = new Set(possible.map((node) => node.region).filter((region) => region !== ''));
  return {
    preferredNodes: [...ordered].map((node) => node.id),
    required: (options.anyRegion ? [] : [...regions])
      .sort()
      .map((region) => ({ segments: { region } })),
  };
}
