import type { Volume__Output } from '../../gen/px/v1/Volume.js';

/** What the volumes say of each node, by the id of the px node. Pure. */
export interface NodeReplicas {
  /** Names of volumes whose replica here is not in sync. */
  readonly behind: readonly string[];
  /** Ids of nodes that have replicas of the same volumes. */
  readonly neighbours: ReadonlySet<string>;
}

export function replicasByNode(
  volumes: readonly Volume__Output[],
): ReadonlyMap<string, NodeReplicas> {
  const nodes = new Map<string, { behind: string[]; neighbours: Set<string> }>();
  for (const { name, replicas, status } of volumes) {
    // Those of a volume on its way in or out are no loss.
    if (status === 'creating' || status === 'deleting') continue;
    for (const { node_id: id, state } of replicas) {
      const node = nodes.get(id) ?? { behind: [], neighbours: new Set<string>() };
      nodes.set(id, node);
      if (state !== 'in_sync') node.behind.push(name);
      for (const other of replicas) if (other.node_id !== id) node.neighbours.add(other.node_id);
    }
  }
  return nodes;
}
