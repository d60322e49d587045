import type { NodeStatus__Output } from '../../gen/px/v1/NodeStatus.js';
import type { Replica__Output } from '../../gen/px/v1/Replica.js';
import type { ReplicaChange__Output } from '../../gen/px/v1/ReplicaChange.js';
import type { Volume__Output } from '../../gen/px/v1/Volume.js';
import { bytesOf, formatBytes, formatVolumeSize } from '../sizes.js';
import { formatFields, formatTable } from './table.js';

/** Names of nodes by their id; a node that is not in it goes by its id. */
export type NodeNames = ReadonlyMap<string, string>;

export function nodeNames(nodes: readonly NodeStatus__Output[]): NodeNames {
  return new Map(nodes.map((node) => [node.id, node.name]));
}

export const volumeColumns = [
  'ID',
  'NAME',
  'SIZE',
  'HA',
  'SHARED',
  'ENCRYPTED',
  'IO_PRIORITY',
  'SCALE',
  'STATUS',
] as const;

export function volumeTable(volumes: readonly Volume__Output[], names: NodeNames): string {
  return formatTable(
    volumeColumns,
    volumes.map((volume) => [
      volume.id,
      volume.name,
      formatVolumeSize(volume.spec?.size_bytes),
      String(volume.spec?.replicas ?? ''),
      'no',
      'no',
      (volume.spec?.io_priority ?? '').toUpperCase(),
      '1',
      `${volume.status} - ${placeOf(volume, names)}`,
    ]),
  );
}

function placeOf(volume: Volume__Output, names: NodeNames): string {
  if (volume.attached_on === '') return 'detached';
  return `attached on ${names.get(volume.attached_on) ?? volume.attached_on}`;
}

export function volumeText(volume: Volume__Output, names: NodeNames): string {
  const { spec, stats } = volume;
  const nameOf = (id: string): string => (id === '' ? '' : (names.get(id) ?? id));
  const labels = Object.entries(spec?.labels ?? {}).map(([name, value]) => `${name}=${value}`);
  const fields: (readonly [string, string])[] = [
    ['Name', volume.name],
    ['Size', formatVolumeSize(spec?.size_bytes)],
    ['Format', spec?.fs ?? ''],
    ['Block size', `${spec?.block_size_bytes ?? 0} B`],
    ['HA', String(spec?.replicas ?? '')],
    ['IO Priority', (spec?.io_priority ?? '').toUpperCase()],
    ['IO Profile', spec?.io_profile ?? ''],
    ...optional('Storage policy', spec?.storage_policy ?? ''),
    ...optional('Snapshots', spec?.snapshot_schedule ?? ''),
    ...optional('Limits', limitsText(spec)),
    ['Creation time', volume.created_at],
    ...(volume.parent_id === '' ? [] : [['Parent', volume.parent_id] as const]),
    ['Shared', 'no'],
    ['Encrypted', 'no'],
    ['Status', volume.status],
    ...(volume.status_reason === '' ? [] : [['Reason', volume.status_reason] as const]),
    ...(volume.replica_change === null
      ? []
      : [['Replica change', describeChange(volume.replica_change, names)] as const]),
    ['State', stateOf(volume, nameOf)],
    ['Published on', nameOf(volume.published_on)],
    ['Attributes', attributesOf(volume)],
    ['Labels', labels.join(',')],
    ['Device Path', volume.device_path],
    ['Reads', stats?.reads ?? '0'],
    ['Bytes Read', stats?.read_bytes ?? '0'],
    ['Writes', stats?.writes ?? '0'],
    ['Bytes Written', stats?.write_bytes ?? '0'],
    ['Flushes', stats?.flushes ?? '0'],
    ['Discards', stats?.discards ?? '0'],
    ['IOs in progress', String(stats?.in_flight ?? 0)],
    ['Bytes used', formatBytes(volume.used_bytes)],
  ];
  return [
    `Volume : ${volume.id}`,
    formatFields(fields),
    '\tReplica sets on nodes:',
    '\t\tSet 0',
    replicaTable(volume.replicas),
    `\tReplication Status : ${replicationStatus(volume)}`,
  ].join('\n');
}

export function describeChange(change: ReplicaChange__Output, names: NodeNames): string {
  const list = (ids: readonly string[]) => ids.map((id) => names.get(id) ?? id).join(', ');
  const parts = [
    `${change.state}, to have ${change.target_count} replica(s)`,
    ...(change.adding_nodes.length === 0 ? [] : [`new on ${list(change.adding_nodes)}`]),
    ...(change.removing_nodes.length === 0 ? [] : [`leaving ${list(change.removing_nodes)}`]),
    ...(change.reason === '' ? [] : [change.reason]),
  ];
  return parts.join('; ');
}

/** A line only when there is something to say. */
function optional(name: string, value: string): (readonly [string, string])[] {
  return value === '' ? [] : [[name, value]];
}

function limitsText(spec: Volume__Output['spec']): string {
  const limits = [
    ['read', spec?.max_read_iops ?? '0', spec?.max_read_bytes_per_second ?? '0'],
    ['write', spec?.max_write_iops ?? '0', spec?.max_write_bytes_per_second ?? '0'],
  ] as const;
  return limits
    .flatMap(([direction, iops, bytes]) => [
      ...(iops === '0' ? [] : [`${direction} ${iops} IOPS`]),
      ...(bytes === '0' ? [] : [`${direction} ${formatBytes(bytes)}/s`]),
    ])
    .join(', ');
}

function stateOf(volume: Volume__Output, nameOf: (id: string) => string): string {
  if (volume.attached_on === '') return 'Detached';
  return `Attached: ${nameOf(volume.attached_on)} (${volume.attached_on})`;
}

function attributesOf(volume: Volume__Output): string {
  return [
    ...(volume.read_only ? ['read-only'] : []),
    ...(volume.spec?.sticky === true ? ['sticky'] : []),
    ...(volume.spec?.no_discard === true ? ['nodiscard'] : []),
    ...(volume.spec?.group ? [`group=${volume.spec.group}`] : []),
    ...(volume.spec?.group_enforced === true ? ['fg'] : []),
  ].join(',');
}

function replicaTable(replicas: readonly Replica__Output[]): string {
  return formatTable(
    ['NODE', 'ZONE', 'POOL', 'REPLICA', 'STATE', 'RESYNC'],
    replicas.map((replica) => [
      replica.node_name || replica.node_id,
      replica.zone,
      replica.pool_id,
      replica.id,
      replica.state,
      resyncProgress(replica),
    ]),
    '\t\t',
  );
}

export function resyncProgress(replica: Replica__Output): string {
  if (replica.state !== 'resync') return '';
  const done = bytesOf(replica.resync_bytes_done);
  const total = bytesOf(replica.resync_bytes_total);
  const percent = total === 0 ? 0 : Math.min(100, Math.floor((100 * done) / total));
  return `${percent} % (${formatBytes(done)} of ${formatBytes(total)})`;
}

function replicationStatus(volume: Volume__Output): string {
  if (volume.status === 'down') return 'Down';
  const states = volume.replicas.map((replica) => replica.state);
  if (states.includes('resync')) return 'Resync';
  if (volume.status === 'degraded' || states.includes('out')) return 'Degraded';
  return volume.status === 'up' ? 'Up' : volume.status;
}

/** Of the replicas and not-compared ones in a check: the node says more than an id. */
export function replicaLabel(volume: Volume__Output, replicaId: string): string {
  const replica = volume.replicas.find((candidate) => candidate.id === replicaId);
  return replica === undefined ? replicaId : replica.node_name || replica.node_id;
}
