import type { Drive__Output } from '../../gen/px/v1/Drive.js';
import type { NodeStatus__Output } from '../../gen/px/v1/NodeStatus.js';
import type { Pool__Output } from '../../gen/px/v1/Pool.js';
import { bytesOf, formatBytes } from '../sizes.js';
import { formatTable } from './table.js';

/** A pool keeps whole replicas on its drives one beside the other: that is no RAID. */
const raidLevel = 'none';

export function poolStatusTable(node: NodeStatus__Output, indent: string): string {
  return formatTable(
    ['POOL', 'IO_PRIORITY', 'RAID_LEVEL', 'USABLE', 'USED', 'STATUS', 'ZONE', 'REGION'],
    node.pools.map((pool) => [
      pool.id,
      pool.class.toUpperCase(),
      raidLevel,
      formatBytes(pool.total_bytes),
      formatBytes(pool.used_bytes),
      pool.state,
      node.zone,
      node.region,
    ]),
    indent,
  );
}

export function poolTable(pools: readonly Pool__Output[]): string {
  return formatTable(
    [
      'POOL',
      'IO_PRIORITY',
      'RAID_LEVEL',
      'KIND',
      'USABLE',
      'USED',
      'AVAILABLE',
      'PROVISIONED',
      'REPLICAS',
      'SNAPSHOTS',
      'STATUS',
    ],
    pools.map((pool) => [
      pool.id,
      pool.class.toUpperCase(),
      raidLevel,
      pool.kind,
      formatBytes(pool.total_bytes),
      formatBytes(pool.used_bytes),
      formatBytes(pool.available_bytes),
      formatBytes(pool.provisioned_bytes),
      String(pool.replica_count),
      pool.snapshot_method,
      pool.state,
    ]),
  );
}

export function driveTable(drives: readonly Drive__Output[], indent = ''): string {
  return formatTable(
    ['PATH', 'POOL', 'MEDIA', 'SIZE', 'USED', 'IO_PRIORITY', 'READ', 'STATUS', 'REASON'],
    drives.map((drive) => [
      drive.path,
      drive.pool_id,
      drive.media,
      formatBytes(drive.size_bytes),
      formatBytes(drive.used_bytes),
      drive.class.toUpperCase(),
      readSpeed(drive),
      drive.state,
      drive.reason,
    ]),
    indent,
  );
}

/** What the short benchmark found when the drive was classed; nothing when none was run. */
function readSpeed(drive: Drive__Output): string {
  const bytesPerSecond = bytesOf(drive.read_bytes_per_second);
  return bytesPerSecond === 0 ? '' : `${formatBytes(bytesPerSecond)}/s ${drive.read_iops} IOPS`;
}

export function nodeTable(nodes: readonly NodeStatus__Output[], indent = ''): string {
  return formatTable(
    ['ID', 'NAME', 'ADDRESS', 'ZONE', 'REGION', 'USED', 'CAPACITY', 'VERSION', 'STATUS'],
    nodes.map((node) => [
      node.id,
      node.name,
      node.mgmt_address,
      node.zone,
      node.region,
      formatBytes(sum(node.pools, 'used_bytes')),
      formatBytes(sum(node.pools, 'total_bytes')),
      node.version,
      node.state_reason === '' ? node.state : `${node.state}: ${node.state_reason}`,
    ]),
    indent,
  );
}

export function sum(
  pools: readonly Pool__Output[],
  field: 'used_bytes' | 'total_bytes' | 'available_bytes' | 'provisioned_bytes',
): number {
  return pools.reduce((total, pool) => total + bytesOf(pool[field]), 0);
}

/** Enough to reach the node: what the API listens on without its port. */
export function addressOnly(hostPort: string): string {
  return hostPort.replace(/:\d+$/, '');
}
