import type { Volume__Output } from '../../gen/px/v1/Volume.js';
import type { VolumeSpec__Output } from '../../gen/px/v1/VolumeSpec.js';

/**
 * A volume in the shape that scripts for Portworx read: 64-bit numbers are
 * strings, enums lowercase. What that shape has no field for (the states of the
 * replicas, the reason of a status) stands beside it under names of its own.
 */
export function volumeJson(volume: Volume__Output): Record<string, unknown> {
  const { spec, stats } = volume;
  return {
    id: volume.id,
    source: { parent: volume.parent_id },
    readonly: volume.read_only,
    locator: { name: volume.name, volume_labels: { ...spec?.labels } },
    ctime: volume.created_at,
    spec: spec === null ? {} : specJson(spec),
    usage: volume.used_bytes,
    status: volume.status,
    status_reason: volume.status_reason,
    state: volume.state,
    attached_on: volume.attached_on,
    published_on: volume.published_on,
    device_path: volume.device_path,
    epoch: volume.epoch,
    replica_sets: [{ nodes: volume.replicas.map((replica) => replica.node_id) }],
    runtime_state: [{ runtime_state: { RuntimeState: runtimeState(volume) } }],
    replicas: volume.replicas.map((replica) => ({
      id: replica.id,
      node_id: replica.node_id,
      node_name: replica.node_name,
      zone: replica.zone,
      pool_id: replica.pool_id,
      state: replica.state,
      resync_bytes_done: replica.resync_bytes_done,
      resync_bytes_total: replica.resync_bytes_total,
    })),
    replica_change: volume.replica_change,
    stats: {
      reads: stats?.reads ?? '0',
      writes: stats?.writes ?? '0',
      flushes: stats?.flushes ?? '0',
      discards: stats?.discards ?? '0',
      read_bytes: stats?.read_bytes ?? '0',
      write_bytes: stats?.write_bytes ?? '0',
      in_flight: stats?.in_flight ?? 0,
    },
  };
}

function specJson(spec: VolumeSpec__Output): Record<string, unknown> {
  return {
    size: spec.size_bytes,
    format: spec.fs,
    block_size: String(spec.block_size_bytes),
    ha_level: String(spec.replicas),
    cos: spec.io_priority,
    io_profile: spec.io_profile,
    aggregation_level: spec.aggregation_level,
    shared: false,
    sharedv4: false,
    encrypted: false,
    sticky: spec.sticky,
    nodiscard: spec.no_discard,
    queue_depth: spec.queue_depth,
    group: { id: spec.group },
    group_enforced: spec.group_enforced,
    replica_set: { nodes: spec.nodes },
    zones: spec.zones,
    racks: spec.racks,
    regions: spec.regions,
    best_effort_location_provisioning: spec.best_effort_location,
    storage_policy: spec.storage_policy,
    snapshot_schedule: spec.snapshot_schedule,
    io_throttle: {
      read_iops: spec.max_read_iops,
      write_iops: spec.max_write_iops,
      read_bytes_per_second: spec.max_read_bytes_per_second,
      write_bytes_per_second: spec.max_write_bytes_per_second,
    },
  };
}

function runtimeState(volume: Volume__Output): string {
  if (volume.replicas.some((replica) => replica.state === 'resync')) return 'resync';
  return volume.replicas.every((replica) => replica.state === 'in_sync') ? 'clean' : 'degraded';
}
