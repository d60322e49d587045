import type { Volume__Output } from '../gen/px/v1/Volume.js';

/**
 * A volume in the shape that scripts of this field parse: `locator`, `spec`,
 * `replica_sets`…; 64-bit numbers are strings, enums lowercase.
 */
export function volumeJson(volume: Volume__Output) {
  const { spec, stats } = volume;
  const byState = (state: string) =>
    volume.replicas.filter((replica) => replica.state === state).map(({ node_id }) => node_id);
  return {
    id: volume.id,
    source: { parent: volume.parent_id },
    readonly: volume.read_only,
    locator: { name: volume.name, volume_labels: spec?.labels ?? {} },
    ctime: volume.created_at,
    spec: {
      size: spec?.size_bytes ?? '0',
      format: spec?.fs ?? '',
      block_size: String(spec?.block_size_bytes ?? 0),
      ha_level: String(spec?.replicas ?? 0),
      cos: spec?.io_priority ?? '',
      io_profile: spec?.io_profile ?? '',
      queue_depth: spec?.queue_depth ?? 0,
      shared: false,
      sharedv4: false,
      encrypted: false,
      sticky: spec?.sticky ?? false,
      nodiscard: spec?.no_discard ?? false,
      aggregation_level: spec?.aggregation_level ?? 1,
      group: { id: spec?.group ?? '' },
      group_enforced: spec?.group_enforced ?? false,
      replica_set: { nodes: spec?.nodes ?? [] },
      volume_labels: spec?.labels ?? {},
    },
    usage: volume.used_bytes,
    status: volume.status,
    status_reason: volume.status_reason,
    state: volume.state,
    attached_on: volume.attached_on,
    published_on: volume.published_on,
    device_path: volume.device_path,
    epoch: volume.epoch,
    replica_sets: [{ nodes: volume.replicas.map((replica) => replica.node_id) }],
    replicas: volume.replicas,
    runtime_state: [
      {
        runtime_state: {
          RuntimeState: volume.status === 'up' ? 'clean' : volume.status,
          ReplicaSetCurr: byState('in_sync').join(','),
          ReplicaSetResync: byState('resync').join(','),
          ReplicaSetDown: byState('out').join(','),
        },
      },
    ],
    stats,
  };
}
