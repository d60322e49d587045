import type { VolumeRecord } from '../../kernel/volume-record.js';
import {
  Neighbours,
  placementBreaches,
  preparePlacement,
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
  const neighbours = neighboursOf(cluster, entry);
  return governedBy(cluster, entry.name).flatMap((record) => {
    const { id: volumeId, name: volumeName } = record;
    return [
      ...breachesOf(entry.policy.volume, record),
      ...placementBreaches(rulesFor(cluster, entry, record, neighbours), nodesOf(cluster, record)),
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
  entry: PolicyEntry,
  record: Pick<VolumeRecord, 'id' | 'spec'>,
  neighbours = neighboursOf(cluster, entry),
): PlacementRules {
  const own = { id: record.id, labels: record.spec.labels };
  const nodes = [...cluster.nodes.values()];
  return preparePlacement(entry.policy.placement, own, neighbours, nodes);
}

/** Nobody, where no rule asks for other volumes. */
function neighboursOf(cluster: GovernedCluster, { policy }: PolicyEntry): Neighbours {
  const { volumeAffinity, volumeAntiAffinity } = policy.placement;
  if (volumeAffinity === undefined && volumeAntiAffinity === undefined) return new Neighbours([]);
  const others = [...cluster.volumes.values()].filter(
    ({ readOnly, lifecycle }) => !readOnly && lifecycle !== 'deleting',
  );
  return new Neighbours(
    others.map(({ id, spec, replicas }) => {
      return { id, labels: spec.labels, nodeIds: replicas.map(({ nodeId }) => nodeId) };
    }),
  );
}
