import type { NodeStatus__Output } from '../gen/px/v1/NodeStatus.js';
import type { Topology__Output } from '../gen/csi/v1/Topology.js';

export type Segments = Record<string, string>;

type Place = 'node' | 'zone' | 'region';

/** Labels of others that say the same, so that a class's allowedTopologies may use them. */
const knownElsewhere: Readonly<Record<string, Place>> = {
  'kubernetes.io/hostname': 'node',
  'topology.kubernetes.io/zone': 'zone',
  'topology.kubernetes.io/region': 'region',
  'topology.portworx.io/zone': 'zone',
  'topology.portworx.io/region': 'region',
};

/** The driver's topology keys and the px nodes behind them. */
export class TopologyKeys {
  readonly node: string;
  readonly zone: string;
  readonly region: string;
  private readonly places: Readonly<Record<string, Place>>;

  constructor(driverName: string) {
    this.node = `topology.${driverName}/node`;
    this.zone = `topology.${driverName}/zone`;
    this.region = `topology.${driverName}/region`;
    this.places = {
      ...knownElsewhere,
      [this.node]: 'node',
      [this.zone]: 'zone',
      [this.region]: 'region',
    };
  }

  /** Where a node is. A place that the node does not name is left out: a label needs a value. */
  segmentsOf(node: NodeStatus__Output): Segments {
    const segments: Segments = { [this.node]: node.name === '' ? node.id : node.name };
    if (node.zone !== '') segments[this.zone] = node.zone;
    if (node.region !== '') segments[this.region] = node.region;
    return segments;
  }

  /** Whether the node lies in every segment; a key that nobody knows matches nothing. */
  matches(segments: Segments, node: NodeStatus__Output): boolean {
    return Object.entries(segments).every(([key, value]) => {
      const place = this.places[key];
      if (place === 'node') return value === node.name || value === node.id;
      if (place === 'zone') return value === node.zone;
      return place === 'region' && value === node.region;
    });
  }

  /** The nodes in any of the terms, in the terms' order, each once. */
  nodesIn(
    terms: readonly Topology__Output[],
    nodes: readonly NodeStatus__Output[],
  ): NodeStatus__Output[] {
    const found = new Set<NodeStatus__Output>();
    for (const term of terms) {
      for (const node of nodes) if (this.matches(term.segments, node)) found.add(node);
    }
    return [...found];
  }

  /**
   * Where a volume with these replicas can be used. Any node of their regions
   * can attach it, with or without a replica of its own; beyond the region a
   * synchronous write would cross the distance.
   */
  accessibleFrom(replicaNodes: readonly NodeStatus__Output[]): { segments: Segments }[] {
    const regions = new Set(replicaNodes.map((node) => node.region));
    if (regions.size === 0 || regions.has('')) return [];
    return [...regions].sort().map((region) => ({ segments: { [this.region]: region } }));
  }
}
