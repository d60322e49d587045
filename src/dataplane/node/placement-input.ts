import type { VolumeRecord } from '../../kernel/volume-record.js';
import { noUse, type ClusterState } from '../cluster/cluster-state.js';
import type { PlacementNode } from '../cluster/placement.js';
import { noPlacementRules, type PlacementRules } from '../cluster/placement-rules.js';
import { governing } from '../policy/policy-entry.js';
import { rulesFor } from '../policy/policy-status.js';

/** The cluster as placement sees it; what is promised comes from the volumes' records. */
export function placementNodes(state: ClusterState): PlacementNode[] {
  return [...state.nodes.values()].map((node) => ({
    id: node.id,
    name: node.name,
    alive: state.alive.has(node.id),
    maintenance: node.state === 'maintenance' || isClosed(state, node.id),
    zone: node.zone,
    region: node.region,
    rack: node.rack,
    labels: node.labels,
    pools: node.pools.map((pool) => ({
      ...pool,
      provisionedBytes: (state.poolUse.get(pool.id) ?? noUse).provisionedBytes,
    })),
  }));
}

/** In maintenance or being emptied: nothing new is placed there. */
export function isClosed(state: Pick<ClusterState, 'flags'>, nodeId: string): boolean {
  const flags = state.flags.get(nodeId);
  return flags !== undefined && (flags.maintenance || flags.decommission !== '');
}

/** Replicas of the group's volumes on each node. */
export function groupReplicas(state: ClusterState, group: string): Record<string, number> {
  const counts: Record<string, number> = {};
  if (group === '') return counts;
  for (const volume of state.volumes.values()) {
    if (volume.spec.group !== group || volume.lifecycle === 'deleting') continue;
    for (const { nodeId } of volume.replicas) counts[nodeId] = (counts[nodeId] ?? 0) + 1;
  }
  return counts;
}

/** What the governing policy says of where the volume's replicas may lie. */
export function placementRules(
  state: ClusterState,
  record: Pick<VolumeRecord, 'id' | 'spec' | 'readOnly'>,
): PlacementRules {
  const entry = governing(state.policies, record);
  return entry === undefined ? noPlacementRules : rulesFor(state, entry, record);
}
