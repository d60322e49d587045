import { statfsSync } from 'node:fs';
import { toPxError } from '../../kernel/errors.js';
import type { EnginePool } from '../engine/api.js';
import { readIdentity } from './directory-identity.js';
import { makeDirectoryDurably } from './durable-files.js';
import { replicasDirectoryName, trashDirectoryName } from './replica-paths.js';

/** One directory (mounted device) of a pool, as one thread sees it. */
export interface StoreDirectory {
  readonly path: string;
  readonly id: string;
  /** Bytes that segments placed here may still grow by, for the stores of this thread. */
  promisedBytes: number;
}

export interface MissingDirectory {
  readonly path: string;
  readonly reason: string;
}

export interface StorePool {
  readonly id: string;
  /** For new replicas; each keeps the one that it was made with. */
  readonly segmentBytes: number;
  readonly snapshotMethod: 'reflink' | 'copy';
  readonly directories: readonly StoreDirectory[];
  readonly missing: readonly MissingDirectory[];
}

/**
 * Opens the pool's directories. One without its identity file (its device is
 * not mounted) is left out and listed as missing; replicas that need it refuse
 * to open, the others work.
 */
export function openStorePool(pool: EnginePool): StorePool {
  const directories: StoreDirectory[] = [];
  const missing: MissingDirectory[] = [];
  for (const path of pool.directories) {
    try {
      const identity = readIdentity(path);
      if (identity === undefined) {
        missing.push({ path, reason: 'there is no identity file: is the device mounted?' });
        continue;
      }
      makeDirectoryDurably(path, replicasDirectoryName);
      makeDirectoryDurably(path, trashDirectoryName);
      directories.push({ path, id: identity.deviceId, promisedBytes: 0 });
    } catch (error) {
      missing.push({ path, reason: toPxError(error).message });
    }
  }
  const { id, segmentBytes, snapshotMethod } = pool;
  return { id, segmentBytes, snapshotMethod, directories, missing };
}

/**
 * The order in which to try directories for a new segment: most free space
 * after what is promised to the segments already there; ties by id.
 */
export function placementOrder(pool: StorePool): StoreDirectory[] {
  return pool.directories
    .map((directory) => ({ directory, room: freeBytes(directory.path) - directory.promisedBytes }))
    .sort((a, b) => b.room - a.room || (a.directory.id < b.directory.id ? -1 : 1))
    .map(({ directory }) => directory);
}

function freeBytes(path: string): number {
  try {
    const stats = statfsSync(path);
    return stats.bavail * stats.bsize;
  } catch {
    // A device that does not even answer statfs is the last choice.
    return 0;
  }
}
