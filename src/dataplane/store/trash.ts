import { randomUUID } from 'node:crypto';
import { renameSync } from 'node:fs';
import { rm } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import { hasCode, syncDirectory } from './durable-files.js';
import { namesIn } from './replica-meta.js';
import { trashDirectoryName } from './replica-paths.js';
import type { StorePool } from './store-pool.js';

/**
 * Takes a directory out of the way in one durable step. Unlinking a large file
 * takes long and may be interrupted; a rename does and may not.
 */
export function moveToTrash(poolDirectory: string, path: string): void {
  const trash = join(poolDirectory, trashDirectoryName);
  try {
    renameSync(path, join(trash, randomUUID()));
  } catch (error) {
    if (hasCode(error, 'ENOENT')) return;
    throw error;
  }
  // XFS makes both sides of a rename durable in one log item; others may not.
  syncDirectory(trash);
  syncDirectory(dirname(path));
}

/** Unlinks what was moved away, also before a crash. Runs beside everything else. */
export async function emptyTrash(pool: Pick<StorePool, 'directories'>): Promise<void> {
  for (const { path } of pool.directories) {
    const trash = join(path, trashDirectoryName);
    for (const name of namesIn(trash))
      await rm(join(trash, name), { recursive: true, force: true });
  }
}
