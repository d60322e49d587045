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
  /** The last time that the volume was taken from a node which seemed dead (rule F1). */
  readonly fence?: VolumeFence;
  /** Where the replicas are to be, while they are not there yet (rules P1 to P4). */
  readonly replicaWish?: ReplicaWish;
  /** Replicas that have left the volume, and whose content their nodes still have to delete. */
  readonly leavers?: readonly LeavingReplica[];
  /** Snapshot operations that have begun and not been recorded as done. */
  readonly pendingCopy?: PendingCopy;
  /**
   * A digest of the request that made the volume: a policy may have made
   * another volume of it, and the same request again must find that one.
   */
  readonly requestDigest?: string;
  /**
   * The revision of the storage policy that the volume was last brought to, or
   * `asked` when a person put it under its policy and it is still to be brought there.
   */
  readonly policyApplied?: string;
  /** The last slot of each kind of snapshot schedule that was taken, RFC 3339. */
  readonly scheduledSlots?: Readonly<Record<string, string>>;
}

export interface ReplicaWish {
  /** So many replicas that stay are to be in sync, and none besides them. */
  readonly targetCount: number;
  /** Replicas that the wish brought into the record. */
  readonly added: readonly string[];
  /** Replicas that leave, but not before `targetCount` others are in sync. */
  readonly removing: readonly string[];
  /** A person or a policy; a node that is being emptied; a replica that stays away. */
  readonly cause: 'asked' | 'drain' | 'loss';
  /** Why no place was found for a replica, '' when none is missing one. */
  readonly blocked: string;
}

export interface LeavingReplica {
  readonly id: string;
  readonly nodeId: string;
  readonly poolId: string;
}

export interface VolumeFence {
  readonly nodeId: string;
  /** Raised above whatever that node may coordinate with. */
  readonly epoch: number;
  /** An in-sync replica obeys that epoch, and its lease to older ones is over. */
  readonly confirmed: boolean;
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
  /** The policy that the volume names; without one the default policy governs it. */
  readonly storagePolicy?: string;
  /** What the attached device may do a second; absent: as much as it can. */
  readonly limits?: IoLimits;
  /** The volume's own snapshot schedule, in its canonical text. */
  readonly snapshotSchedule?: string;
}

/** Absent is no limit. IOPS and bytes are never both limited for one direction. */
export interface IoLimits {
  readonly readIops?: number;
  readonly writeIops?: number;
  readonly readBytesPerSecond?: number;
  readonly writeBytesPerSecond?: number;
}
