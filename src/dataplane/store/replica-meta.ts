import { readdirSync } from 'node:fs';
import { join } from 'node:path';
import { z } from 'zod';
import { PxError } from '../../kernel/errors.js';
import { bitmapBytes } from '../protocol/bitmap.js';
import { productionGeometry } from '../protocol/ops.js';
import type { ReplicaMeta } from '../protocol/ports.js';
import { hasCode, readIfPresent } from './durable-files.js';
import { memberOf, metaFileName, replicaDirectory } from './replica-paths.js';
import type { StoreDirectory, StorePool } from './store-pool.js';

const metaSchema = z.object({
  formatVersion: z.literal(1),
  clusterId: z.string(),
  volumeId: z.string(),
  replicaId: z.string(),
  epoch: z.number().int().nonnegative(),
  token: z.string(),
  sizeBytes: z.number().int().positive(),
  blank: z.boolean(),
  lossy: z.boolean(),
  /** The kernel's boot under which this was written. */
  bootId: z.string(),
  /** The directory name of the segments that count. */
  generation: z.number().int().positive(),
  segmentBytes: z.number().int().positive(),
});

/** What meta.json holds: the protocol's part, and the store's own. */
export type StoredMeta = z.infer<typeof metaSchema>;

export interface DirectoryName {
  readonly path: string;
  readonly id: string;
}

/** A replica found on disk. */
export interface FoundReplica<D extends DirectoryName = StoreDirectory> {
  readonly home: D;
  readonly stored: StoredMeta;
  /** The ids of the directories that may hold segments. */
  readonly members: readonly string[];
}

export function encodeMeta(stored: StoredMeta): string {
  return `${JSON.stringify(stored, null, 2)}\n`;
}

export function protocolMeta(stored: StoredMeta): ReplicaMeta {
  const { clusterId, volumeId, replicaId, epoch, token, sizeBytes, blank, lossy } = stored;
  return { clusterId, volumeId, replicaId, epoch, token, sizeBytes, blank, lossy };
}

/** Bytes of the dirty marks: one bit a chunk. */
export function marksBytes(sizeBytes: number): number {
  return bitmapBytes(sizeBytes, productionGeometry.chunkBytes);
}

/** Looks for the replica's meta.json in every directory; undefined when there is none. */
export function findReplica<D extends DirectoryName>(
  pool: { readonly directories: readonly D[] },
  volumeId: string,
  replicaId: string,
): FoundReplica<D> | undefined {
  let found: FoundReplica<D> | undefined;
  for (const home of pool.directories) {
    const directory = replicaDirectory(home.path, volumeId, replicaId);
    const text = readIfPresent(join(directory, metaFileName));
    if (text === undefined) continue;
    if (found !== undefined) {
      const both = `${found.home.path} and ${home.path}`;
      throw new PxError('io_error', `replica ${replicaId} has a meta.json in ${both}`);
    }
    found = { home, stored: parseMeta(text, directory), members: readMembers(directory) };
  }
  return found;
}

/** Throws unless every directory that may hold segments is there: a hole would read as zeroes. */
export function requireMembers(
  pool: {
    readonly directories: readonly DirectoryName[];
    readonly missing?: StorePool['missing'];
  },
  found: FoundReplica<DirectoryName>,
): void {
  for (const id of found.members) {
    if (pool.directories.some((directory) => directory.id === id)) continue;
    const reasons = (pool.missing ?? []).map(({ path, reason }) => `${path}: ${reason}`).join('; ');
    throw new PxError(
      'unavailable',
      `replica ${found.stored.replicaId} needs device ${id}, which is not there`,
      { deviceId: id, missing: reasons },
    );
  }
}

function readMembers(directory: string): string[] {
  const members: string[] = [];
  for (const name of readdirSync(directory)) {
    const member = memberOf(name);
    if (member !== undefined) members.push(member);
  }
  return members;
}

function parseMeta(text: string, directory: string): StoredMeta {
  try {
    return metaSchema.parse(JSON.parse(text));
  } catch (error) {
    throw new PxError('io_error', `${directory}/${metaFileName} is damaged`, {}, error);
  }
}

/** The names in a directory, none when it does not exist. */
export function namesIn(directory: string): string[] {
  try {
    return readdirSync(directory);
  } catch (error) {
    if (hasCode(error, 'ENOENT') || hasCode(error, 'ENOTDIR')) return [];
    throw error;
  }
}
