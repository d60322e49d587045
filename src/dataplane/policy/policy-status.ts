import type { VolumeRecord } from '../../kernel/volume-record.js';
import {
  placementBreaches,
  preparePlacement,
  type NeighbourVolume,
  type PlacementRules,
} from '../cluster/placement-rules.js';
import type { PlacedNode } from '../cluster/topology-labels.js';
import { governing, type Policies, type PolicyEntry } from './policy-entry.js';
import { breachesOf } from './volume-rules.js';

/** What policies are judged on: records and nodes, no live state. */
export interface GovernedCluster {
  readonly volumes: ReadonlyMap<string, VolumeRecord>;
  readonly nodes: ReadonlyMap<string, PlacedNode>;
  readonly policies: Policies;
}

export interface Violation {
  readonly volumeId: string;
  readonly volumeName: string;
  readonly rule: string;
  readonly message: string;
}

/** The volumes that a policy rules, in the order of their ids. */
export function governedBy(cluster: GovernedCluster, name: string): VolumeRecord[] {
  return [...cluster.volumes.values()].filter(
    (record) =>
      record.lifecycle !== 'deleting' && governing(cluster.policies, record)?.name === name,
  );
}

/** Every rule that living volumes break: they may be older than the rule. */
export function violationsOf(cluster: GovernedCluster, entry: PolicyEntry): Violation[] {
  return governedBy(cluster, entry.name).flatMap((record) => {
    const { id: volumeId, name: volumeName } = record;
    return [
      ...breachesOf(entry.policy.volume, record),
      ...placementBreaches(rulesFor(cluster, entry, record), nodesOf(cluster, record)),
    ].map(({ rule, message }) => ({ volumeId, volumeName, rule, message }));
  });
}

/** The nodes that hold the volume's replicas, as far as the cluster knows them. */
export function nodesOf(cluster: GovernedCluster, record: VolumeRecord): PlacedNode[] {
  return record.replicas
    .map(({ nodeId }) => cluster.nodes.get(nodeId))
    .filter((node) => node !== undefined);
}

/** What a policy says of where this volume's replicas may lie. */
export function rulesFor(
  cluster: GovernedCluster,
  { policy: { placement } }: PolicyEntry,
  record: Pick<VolumeRecord, 'id' | 'spec'>,
): PlacementRules {
  const asksVolumes = placement.volumeAffinity ?? placement.volumeAntiAffinity;
  const neighbours = asksVolumes === undefined ? [] : neighboursOf(cluster, record.id);
  const nodes = [...cluster.nodes.values()];
  return preparePlacement(placement, record.spec.labels, neighbours, nodes);
}

function neighboursOf(cluster: GovernedCluster, volumeId: string): NeighbourVolume[] {
  return [...cluster.volumes.values()]
    .filter(
      ({ id, readOnly, lifecycle }) => id !== volumeId && !readOnly && lifecycle !== 'deleting',
    )
    .map(({ spec, replicas }) => ({
      labels: spec.labels,
      nodeIds: replicas.map(({ nodeId }) => nodeId),
    }));
}
