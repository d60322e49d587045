import { existsSync, watch, type FSWatcher } from 'node:fs';
import { basename, dirname } from 'node:path';
import type { Logger } from '../../platform/logger.js';

/**
 * Resolves when the file is there. A ConfigMap's volume shows its keys through
 * links to one directory that the kubelet replaces whole, by a rename: every
 * event in the directory is a reason to look again.
 */
export async function awaitFile(file: string, logger: Logger): Promise<void> {
  if (existsSync(file)) return;
  const directory = dirname(file);
  if (!existsSync(directory)) await awaitFile(directory, logger);
  let watcher: FSWatcher | undefined;
  try {
    await new Promise<void>((resolve, reject) => {
      watcher = watch(directory, () => {
        if (existsSync(file)) resolve();
      });
      watcher.on('error', reject);
      // It may have come before the watch began.
      if (existsSync(file)) return resolve();
      logger.info(`waiting for ${basename(file)} to appear in ${directory}`, { file });
    });
  } finally {
    watcher?.close();
  }
}
