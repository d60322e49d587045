import { existsSync, renameSync, rmdirSync, rmSync, statSync } from 'node:fs';
import { join } from 'node:path';
import { PxError, toPxError } from '../../kernel/errors.js';
import type { ReplicaMeta } from '../protocol/ports.js';
import type { ReplicaIds, ReplicaListing } from './contracts.js';
import {
  makeDirectoryDurably,
  syncDirectory,
  writeDurably,
  writeZeroFile,
} from './durable-files.js';
import {
  encodeMeta,
  findReplica,
  marksBytes,
  namesIn,
  protocolMeta,
  requireMembers,
  type FoundReplica,
  type StoredMeta,
} from './replica-meta.js';
import {
  buildingFileName,
  isGeneration,
  marksFileName,
  memberFileName,
  metaFileName,
  removedFileName,
  replicaDirectory,
  replicasDirectoryName,
  segmentIndexOf,
} from './replica-paths.js';
import { placementOrder, type StorePool } from './store-pool.js';
import { moveToTrash } from './trash.js';

/** The paths alone: what a worker thread can be told. */
export interface PoolDirectories {
  readonly directories: readonly { readonly path: string; readonly id: string }[];
}

/** Makes an empty replica, durable on return; one that is there with the same ids is left as it is. */
export function createReplica(pool: StorePool, meta: ReplicaMeta, bootId: string): void {
  const found = findReplica(pool, meta.volumeId, meta.replicaId);
  if (found !== undefined) {
    checkIds(found.stored, meta);
    return;
  }
  const home = placementOrder(pool)[0];
  if (home === undefined) {
    throw new PxError('unavailable', `no directory of pool ${pool.id} is there`);
  }
  beginBuilding(pool, home.path, meta.volumeId, meta.replicaId);
  const directory = replicaDirectory(home.path, meta.volumeId, meta.replicaId);
  const { segmentBytes } = pool;
  const stored = { formatVersion: 1, ...meta, bootId, generation: 1, segmentBytes } as const;
  finishBuilding(directory, stored, [home.id]);
}

/** Clears away what an attempt left, and says durably that what follows is not yet a replica. */
export function beginBuilding(
  pool: PoolDirectories,
  homePath: string,
  volumeId: string,
  replicaId: string,
): void {
  clearLeftovers(pool, volumeId, replicaId);
  const directory = makeDirectoryDurably(homePath, replicasDirectoryName, volumeId, replicaId);
  writeDurably(join(directory, buildingFileName), '');
}

/** The commit point of making a replica: its meta.json. */
export function finishBuilding(
  directory: string,
  stored: StoredMeta,
  members: readonly string[],
): void {
  for (const id of members) writeDurably(join(directory, memberFileName(id)), '');
  writeZeroFile(join(directory, marksFileName), marksBytes(stored.sizeBytes));
  writeDurably(join(directory, metaFileName), encodeMeta(stored));
  rmSync(join(directory, buildingFileName), { force: true });
}

/**
 * What is there of a replica that has no meta.json. It goes only when its home
 * says that it was being made or removed, or when removal was asked for: with a
 * device missing, its segments may be all that one sees of a replica in use.
 */
function clearLeftovers(
  pool: PoolDirectories,
  volumeId: string,
  replicaId: string,
  asked = false,
): void {
  const parts = pool.directories
    .map(({ path }) => ({ pool: path, path: replicaDirectory(path, volumeId, replicaId) }))
    .filter(({ path }) => existsSync(path));
  const isHome = ({ path }: { path: string }): boolean =>
    existsSync(join(path, buildingFileName)) || existsSync(join(path, removedFileName));
  const doubtful = parts.find(({ path }) => holdsSegments(path));
  if (doubtful !== undefined && !asked && !parts.some(isHome)) {
    throw new PxError(
      'failed_precondition',
      `${doubtful.path} holds segments of a replica whose meta.json is not there`,
    );
  }
  // The home goes last: its marker allows the rest to be cleared after a crash.
  for (const part of [...parts].sort((a, b) => Number(isHome(a)) - Number(isHome(b)))) {
    moveToTrash(part.pool, part.path);
  }
}

function holdsSegments(path: string): boolean {
  return namesIn(path)
    .filter(isGeneration)
    .some((generation) => namesIn(join(path, generation)).length > 0);
}

/** Removing one that is not there succeeds. Its store must be closed. Then run `emptyTrash`. */
export function removeReplica(pool: StorePool, volumeId: string, replicaId: string): void {
  const found = findReplica(pool, volumeId, replicaId);
  if (found !== undefined) {
    const directory = replicaDirectory(found.home.path, volumeId, replicaId);
    renameSync(join(directory, metaFileName), join(directory, removedFileName));
    syncDirectory(directory);
  }
  clearLeftovers(pool, volumeId, replicaId, true);
  for (const { path } of pool.directories) {
    try {
      rmdirSync(join(path, replicasDirectoryName, volumeId));
    } catch {
      // Another replica or nothing is there; an empty directory does no harm.
    }
  }
}

/** Every replica that has a meta.json, also those that can't be opened. */
export function listReplicas(pool: StorePool): ReplicaListing[] {
  const listings: ReplicaListing[] = [];
  for (const [volumeId, replicaId] of replicaNames(pool)) {
    const listing = describe(pool, volumeId, replicaId);
    if (listing !== undefined) listings.push(listing);
  }
  return listings;
}

/** Finishes what a crash interrupted. Once, before any store is open. Then run `emptyTrash`. */
export function recoverPool(pool: StorePool): void {
  for (const [volumeId, replicaId] of replicaNames(pool)) {
    if (findIfReadable(pool, volumeId, replicaId) !== undefined) continue;
    const marked = pool.directories.some(({ path }) => {
      const directory = replicaDirectory(path, volumeId, replicaId);
      return (
        existsSync(join(directory, buildingFileName)) ||
        existsSync(join(directory, removedFileName))
      );
    });
    if (marked) clearLeftovers(pool, volumeId, replicaId);
  }
}

function findIfReadable(
  pool: StorePool,
  volumeId: string,
  replicaId: string,
): FoundReplica | undefined | 'damaged' {
  try {
    return findReplica(pool, volumeId, replicaId);
  } catch {
    return 'damaged';
  }
}

function describe(
  pool: StorePool,
  volumeId: string,
  replicaId: string,
): ReplicaListing | undefined {
  const unreadable = { clusterId: '', volumeId, replicaId, epoch: 0, token: '' };
  try {
    const found = findReplica(pool, volumeId, replicaId);
    if (found === undefined) return undefined;
    const listing = {
      poolId: pool.id,
      meta: protocolMeta(found.stored),
      usedBytes: usedBytesOf(pool, found.stored),
    };
    try {
      requireMembers(pool, found);
      return { ...listing, problem: '' };
    } catch (error) {
      return { ...listing, problem: toPxError(error).message };
    }
  } catch (error) {
    const meta = { ...unreadable, sizeBytes: 0, blank: false, lossy: false };
    return { poolId: pool.id, meta, usedBytes: 0, problem: toPxError(error).message };
  }
}

function usedBytesOf(pool: StorePool, stored: StoredMeta): number {
  let blocks = 0;
  for (const { path } of pool.directories) {
    const directory = join(
      replicaDirectory(path, stored.volumeId, stored.replicaId),
      String(stored.generation),
    );
    for (const name of namesIn(directory)) {
      if (segmentIndexOf(name) !== undefined) blocks += statSync(join(directory, name)).blocks;
    }
  }
  return blocks * 512;
}

/** [volumeId, replicaId] of every replica directory, each once, in order. */
function replicaNames(pool: StorePool): [string, string][] {
  const names = new Map<string, [string, string]>();
  for (const { path } of pool.directories) {
    const replicas = join(path, replicasDirectoryName);
    for (const volumeId of namesIn(replicas)) {
      for (const replicaId of namesIn(join(replicas, volumeId))) {
        names.set(`${volumeId}/${replicaId}`, [volumeId, replicaId]);
      }
    }
  }
  return [...names.keys()].sort().map((key) => names.get(key) ?? ['', '']);
}

export function checkIds(stored: StoredMeta, ids: ReplicaIds): void {
  for (const field of ['clusterId', 'volumeId', 'replicaId'] as const) {
    if (stored[field] === ids[field]) continue;
    throw new PxError(
      'failed_precondition',
      `the replica on disk has ${field} ${stored[field]}, not ${ids[field]}`,
    );
  }
}
