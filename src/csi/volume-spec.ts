import type { Volume__Output } from '../gen/px/v1/Volume.js';
import type { VolumeSpec } from '../gen/px/v1/VolumeSpec.js';
import type { ClassParameters, FsChoice } from './parameters/storage-class.js';

/** What is asked of px-node for a new volume: every parameter has its place here. */
export function volumeSpec(
  parameters: ClassParameters,
  asked: {
    readonly fs: FsChoice;
    readonly sizeBytes: number;
    /** What it is copied from. */
    readonly source?: Volume__Output | undefined;
  },
): VolumeSpec {
  const { source } = asked;
  return {
    size_bytes: asked.sizeBytes,
    // 0 and '' leave it open: a storage policy may fill it in, else px-node does.
    replicas: parameters.replicas ?? source?.spec?.replicas ?? 0,
    io_priority: parameters.ioPriority ?? source?.spec?.io_priority ?? '',
    fs: asked.fs,
    // A copy keeps its source's block size: its file system was made for it.
    block_size_bytes: source?.spec?.block_size_bytes ?? parameters.blockSizeBytes ?? 4096,
    nodes: parameters.nodes ?? [],
    zones: parameters.zones ?? [],
    racks: parameters.racks ?? [],
    regions: parameters.regions ?? [],
    best_effort_location: parameters.bestEffortLocation ?? false,
    group: parameters.group ?? '',
    group_enforced: parameters.groupEnforced ?? false,
    sticky: parameters.sticky ?? false,
    no_discard: parameters.noDiscard ?? false,
    queue_depth: parameters.queueDepth ?? 128,
    labels: parameters.labels,
    io_profile: parameters.ioProfile ?? '',
    aggregation_level: 1,
    storage_policy: parameters.storagePolicy ?? '',
    snapshot_schedule: parameters.snapshotSchedule ?? '',
    ...parameters.limits,
  };
}
