import type { Volume__Output } from '../gen/px/v1/Volume.js';
import { facts, showBytes, table, yesNo } from './format.js';

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

export function volumeTable(
  volumes: readonly Volume__Output[],
  nodeNames: ReadonlyMap<string, string>,
): string {
  return table(
    volumeColumns,
    volumes.map((volume) => [
      volume.id,
      volume.name,
      showBytes(volume.spec?.size_bytes ?? 0),
      String(volume.spec?.replicas ?? 0),
      'no',
      'no',
      (volume.spec?.io_priority ?? '').toUpperCase(),
      '0',
      statusLine(volume, nodeNames),
    ]),
  );
}

/** `up - attached on n1` */
export function statusLine(volume: Volume__Output, nodeNames: ReadonlyMap<string, string>): string {
  const where =
    volume.attached_on === ''
      ? 'detached'
      : `attached on ${nodeNames.get(volume.attached_on) ?? volume.attached_on}`;
  return `${volume.status} - ${where}`;
}

export function volumeDetails(
  volume: Volume__Output,
  nodeNames: ReadonlyMap<string, string>,
): string {
  const { spec, stats } = volume;
  const labels = Object.entries(spec?.labels ?? {}).map(([key, value]) => `${key}=${value}`);
  const attributes = [
    ...(volume.read_only ? ['read-only'] : []),
    ...(spec?.sticky === true ? ['sticky'] : []),
    ...(spec?.no_discard === true ? ['no discard'] : []),
  ];
  const lines = facts([
    ['Volume', volume.id],
    ['Name', volume.name],
    ['Size', showBytes(spec?.size_bytes ?? 0)],
    ['Format', spec?.fs ?? ''],
    ['HA', String(spec?.replicas ?? 0)],
    ['IO Priority', (spec?.io_priority ?? '').toUpperCase()],
    ['Block size', String(spec?.block_size_bytes ?? 0)],
    ['Creation time', volume.created_at],
    ['Shared', yesNo(false)],
    ['Encrypted', yesNo(false)],
    ['Status', volume.status],
    ...(volume.status_reason === '' ? [] : [['Reason', volume.status_reason] as const]),
    ['State', statusLine(volume, nodeNames).split(' - ')[1] ?? ''],
    ...(volume.published_on === ''
      ? []
      : [['Published on', nodeNames.get(volume.published_on) ?? volume.published_on] as const]),
    ['Attributes', attributes.length === 0 ? 'none' : attributes.join(', ')],
    ...(volume.parent_id === '' ? [] : [['Parent', volume.parent_id] as const]),
    ...(labels.length === 0 ? [] : [['Labels', labels.join(',')] as const]),
    ['Device Path', volume.device_path === '' ? '-' : volume.device_path],
    ['Epoch', volume.epoch],
    ['Reads', stats?.reads ?? '0'],
    ['Bytes Read', stats?.read_bytes ?? '0'],
    ['Writes', stats?.writes ?? '0'],
    ['Bytes Written', stats?.write_bytes ?? '0'],
    ['Flushes', stats?.flushes ?? '0'],
    ['IOs in progress', String(stats?.in_flight ?? 0)],
    ['Bytes used', showBytes(volume.used_bytes)],
    ['Replication Status', replicationStatus(volume)],
  ]);
  const replicas = table(
    ['NODE', 'ZONE', 'POOL', 'STATE', 'RESYNC'],
    volume.replicas.map((replica) => [
      replica.node_name,
      replica.zone,
      replica.pool_id,
      replica.state,
      progressOf(replica.resync_bytes_done, replica.resync_bytes_total),
    ]),
    '\t  ',
  );
  return `${lines}\n\tReplica sets on nodes\n${replicas}`;
}

function replicationStatus(volume: Volume__Output): string {
  if (volume.status === 'down') return 'Down';
  if (volume.replicas.some((replica) => replica.state === 'resync')) return 'Resync';
  return volume.status === 'up' ? 'Up' : 'Degraded';
}

function progressOf(done: string, total: string): string {
  if (Number(total) === 0) return '-';
  return `${Math.floor((Number(done) / Number(total)) * 100)} % of ${showBytes(total)}`;
}
