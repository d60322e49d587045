import type { NodeStatus__Output } from '../../gen/px/v1/NodeStatus.js';
import type { Volume__Output } from '../../gen/px/v1/Volume.js';

/** How volumes are, and what of that is news. Pure. */

export type Health = 'well' | 'degraded' | 'full' | 'down';

export interface VolumeHealth {
  readonly id: string;
  readonly name: string;
  readonly health: Health;
  readonly reason: string;
}

/** Volumes only: a snapshot is nobody's claim. Those that come or go say nothing yet. */
export function volumesHealth(
  volumes: readonly Volume__Output[],
  nodes: readonly NodeStatus__Output[],
): readonly VolumeHealth[] {
  const full = new Map<string, string>();
  for (const { name, pools } of nodes) {
    for (const { id, state } of pools) if (state === 'full') full.set(id, name);
  }
  return volumes
    .filter(({ read_only: readOnly, parent_id: parent }) => !(readOnly && parent !== ''))
    .filter(({ status }) => status !== 'creating' && status !== 'deleting')
    .map((volume) => ({ id: volume.id, name: volume.name, ...healthOf(volume, full) }));
}

function healthOf(
  { status, status_reason: why, replicas }: Volume__Output,
  fullPools: ReadonlyMap<string, string>,
): Pick<VolumeHealth, 'health' | 'reason'> {
  if (status === 'down') return { health: 'down', reason: why };
  const full = replicas.flatMap(({ pool_id: pool }) => fullPools.get(pool) ?? []);
  if (full.length > 0) {
    return { health: 'full', reason: `the pool of its replica on ${full.join(', ')} is full` };
  }
  if (status === 'degraded') return { health: 'degraded', reason: why };
  return { health: 'well', reason: '' };
}

/** What became worse or better. That a volume is well is no news the first time it is seen. */
export function healthChanges(
  before: ReadonlyMap<string, Health>,
  now: readonly VolumeHealth[],
): readonly VolumeHealth[] {
  return now.filter(({ id, health }) => health !== (before.get(id) ?? 'well'));
}

export function countByHealth(volumes: readonly VolumeHealth[]): Readonly<Record<Health, number>> {
  const counts: Record<Health, number> = { well: 0, degraded: 0, full: 0, down: 0 };
  for (const { health } of volumes) counts[health] += 1;
  return counts;
}

export interface HealthNote {
  readonly type: 'Normal' | 'Warning';
  readonly reason: string;
  readonly message: string;
}

export function noteOf({ health, reason, name }: VolumeHealth): HealthNote {
  const why = reason === '' ? '' : `: ${reason}`;
  switch (health) {
    case 'well':
      return {
        type: 'Normal',
        reason: 'VolumeRecovered',
        message: `Volume ${name} is well again.`,
      };
    case 'degraded':
      return {
        type: 'Warning',
        reason: 'VolumeDegraded',
        message: `Volume ${name} works with fewer replicas than it should have${why}.`,
      };
    case 'full':
      return {
        type: 'Warning',
        reason: 'VolumeOutOfSpace',
        message: `Volume ${name} may soon take no more writes${why}.`,
      };
    case 'down':
      return {
        type: 'Warning',
        reason: 'VolumeDown',
        message: `Volume ${name} can be neither read nor written${why}.`,
      };
  }
}
