import type { Snapshot } from '../../gen/csi/v1/Snapshot.js';
import type { Volume } from '../../gen/csi/v1/Volume.js';
import type { NodeStatus__Output } from '../../gen/px/v1/NodeStatus.js';
import type { Volume__Output as PxVolume } from '../../gen/px/v1/Volume.js';
import { isReady, sizeOf } from '../px-volumes.js';
import type { TopologyKeys } from '../topology.js';

/** A px volume as CSI describes it. */
export function volumeMessage(
  volume: PxVolume,
  nodes: readonly NodeStatus__Output[],
  topology: TopologyKeys,
): Volume {
  const holding = new Set(volume.replicas.map((replica) => replica.node_id));
  return {
    volume_id: volume.id,
    capacity_bytes: sizeOf(volume),
    accessible_topology: topology.accessibleFrom(nodes.filter((node) => holding.has(node.id))),
  };
}

export function snapshotMessage(volume: PxVolume): Snapshot {
  const createdMs = Date.parse(volume.created_at);
  return {
    snapshot_id: volume.id,
    source_volume_id: volume.parent_id,
    size_bytes: sizeOf(volume),
    creation_time: {
      seconds: Math.floor(createdMs / 1000),
      nanos: (createdMs % 1000) * 1_000_000,
    },
    ready_to_use: isReady(volume),
  };
}

/** The node that the volume is published to, or still attached on. */
export function publishedNodes(volume: PxVolume): string[] {
  return [...new Set([volume.published_on, volume.attached_on])].filter((id) => id !== '');
}
