import { toPxError } from '../../kernel/errors.js';
import type { Logger } from '../../platform/logger.js';
import type { EnginePool } from '../engine/api.js';
import { readIdentity } from '../store/directory-identity.js';
import {
  capacityOf,
  fillState,
  noCapacity,
  segmentBytesFor,
  sumCapacities,
  type Capacity,
} from './capacity.js';
import type { DriveView, PoolSet, PoolView } from './contracts.js';

/** A drive with what only the pools need to know of it. */
export interface Drive extends DriveView {
  readonly kind: PoolView['kind'];
  /** Where it is mounted; '' when it is not. */
  readonly directory: string;
  readonly snapshotMethod: PoolView['snapshotMethod'];
  readonly deviceNumber: string;
  readonly capacity: Capacity;
}

/** The pools of this node, as its drives make them up. */
export class DrivePools implements PoolSet {
  private current: readonly Drive[];
  private readonly log: Logger;

  constructor(drives: readonly Drive[], log: Logger) {
    this.current = drives;
    this.log = log;
    this.refresh();
  }

  get drives(): readonly DriveView[] {
    return this.current.map(
      ({ kind: _, directory: _d, snapshotMethod: _s, deviceNumber: _n, capacity, ...view }) => ({
        ...view,
        usedBytes: capacity.usedBytes,
      }),
    );
  }

  get pools(): readonly PoolView[] {
    const ids = [...new Set(this.current.map(({ poolId }) => poolId))].filter((id) => id !== '');
    return ids.sort().map((id) => this.poolView(id));
  }

  /** Also pools that are offline now: the engine says then which replicas lack a device. */
  enginePools(): readonly EnginePool[] {
    return this.pools.map(({ id, directories, segmentBytes, snapshotMethod }) => ({
      id,
      directories,
      segmentBytes,
      snapshotMethod,
    }));
  }

  refresh(): void {
    this.current = this.current.map((drive) => this.refreshed(drive));
  }

  /** Only what was online once comes back by itself: a refused drive needs a restart. */
  private refreshed(drive: Drive): Drive {
    if (drive.directory === '') return drive;
    try {
      const capacity = capacityOf(drive.directory);
      // A mount point whose device went away looks like an empty directory.
      if (readIdentity(drive.directory)?.deviceId !== drive.id) {
        throw new Error('its identity file is gone');
      }
      return { ...drive, capacity, state: 'online', reason: '' };
    } catch (error) {
      const reason = toPxError(error).message;
      if (drive.state === 'online') {
        this.log.error('a drive went offline', { path: drive.path, reason });
      }
      return { ...drive, capacity: noCapacity, state: 'offline', reason };
    }
  }

  private poolView(id: string): PoolView {
    const members = this.current.filter(({ poolId }) => poolId === id);
    const online = members.filter(({ state }) => state === 'online');
    const capacity = sumCapacities(online.map((drive) => drive.capacity));
    const mounted = members.filter(({ directory }) => directory !== '');
    const [first] = members;
    return {
      id,
      class: first.class,
      kind: first.kind,
      directories: mounted.map(({ directory }) => directory).sort(),
      segmentBytes: segmentBytesFor(members.map(({ sizeBytes }) => sizeBytes)),
      snapshotMethod: members.every(({ snapshotMethod }) => snapshotMethod === 'reflink')
        ? 'reflink'
        : 'copy',
      state: online.length === 0 ? 'offline' : fillState(capacity),
      ...capacity,
    };
  }
}
