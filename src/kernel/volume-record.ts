/**
 * A volume as etcd holds it, at `pwx/<clusterid>/volumes/<id>`, as JSON.
 *
 * This record is the only authority on which replicas are in sync, which epoch
 * is current and who coordinates. Every change is a compare-and-set on the
 * key's modification revision. Sizes are bytes (safe integers).
 */
export type ReplicaState = 'in_sync' | 'out';

export interface ReplicaRecord {
  readonly id: string;
  readonly nodeId: string;
  readonly poolId: string;
  readonly state: ReplicaState;
}

export type VolumeLifecycle = 'creating' | 'ready' | 'deleting';

export interface VolumeRecord {
  readonly id: string;
  readonly name: string;
  readonly lifecycle: VolumeLifecycle;
  readonly sizeBytes: number;
  readonly spec: VolumeSpecRecord;
  readonly createdAt: string;
  readonly readOnly: boolean;
  /** The volume that this one was cloned or snapshot from, '' when none. */
  readonly parentId: string;
  readonly replicas: readonly ReplicaRecord[];
  /** Raised by every attach; replicas refuse anything older. 0: never attached. */
  readonly epoch: number;
  /** The node whose coordinator owns the epoch; '' when cleanly detached. */
  readonly attachedOn: string;
  /**
   * Distinguishes two attaches by the same node: the coordinator's own random
   * name. Empty when detached.
   */
  readonly attachToken: string;
  /** The node that the controller reserved the volume for; '' when none. */
  readonly publishedOn: string;
  readonly publishedReadOnly: boolean;
  /** The reservation came with an attach, not from a controller: it ends with the detach. */
  readonly reservedByAttach?: boolean;
  /** Snapshot operations that have begun and not been recorded as done. */
  readonly pendingCopy?: PendingCopy;
}

/** What this volume's replicas are to be filled from while it is `creating`. */
export interface PendingCopy {
  readonly sourceVolumeId: string;
  /** The size that was asked for, when it is more than the source's. */
  readonly growToBytes?: number;
}

export interface VolumeSpecRecord {
  readonly replicas: number;
  readonly ioPriority: 'high' | 'medium' | 'low';
  readonly fs: 'ext4' | 'xfs' | 'none';
  readonly blockSizeBytes: 512 | 4096;
  readonly nodes: readonly string[];
  readonly zones: readonly string[];
  readonly racks: readonly string[];
  readonly regions: readonly string[];
  readonly bestEffortLocation: boolean;
  readonly group: string;
  readonly groupEnforced: boolean;
  readonly sticky: boolean;
  readonly noDiscard: boolean;
  readonly queueDepth: number;
  readonly ioProfile: string;
  readonly aggregationLevel: number;
  readonly labels: Readonly<Record<string, string>>;
}
