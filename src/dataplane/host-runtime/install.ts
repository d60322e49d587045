import { createHash } from 'node:crypto';
import { createReadStream, existsSync, readdirSync } from 'node:fs';
import { chmod, copyFile, mkdir, open, rename, rm } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import type { Logger } from '../../platform/logger.js';
import { syncDirectory } from '../store/durable-files.js';
import { sameFile } from './same-file.js';
import type { RuntimeFile } from './contents.js';
import { runtimePath } from './layout.js';

export interface InstallOptions {
  /** On the host: `/var/lib/px/runtime`. */
  readonly directory: string;
  readonly version: string;
  readonly files: readonly RuntimeFile[];
  /** Tells the temporary directories of living starters from those of dead ones. */
  readonly starter: { readonly pid: number; readonly startTime: string };
  readonly logger: Logger;
}

const temporaryPrefix = '.new-';
const removedPrefix = '.old-';

/**
 * Puts the runtime there, once for each content, and answers its directory. A
 * directory with a final name is whole: everything is on disk before the
 * rename, and of two starters at the same time one rename wins.
 */
export async function installRuntime(options: InstallOptions): Promise<string> {
  const { directory, version, files, starter, logger } = options;
  const id = `${version}-${await contentHash(files)}`;
  const final = join(directory, id);
  if (existsSync(final)) return final;
  const temporary = join(directory, `${temporaryPrefix}${starter.pid}-${starter.startTime}`);
  await rm(temporary, { recursive: true, force: true });
  await copyAll(files, temporary);
  try {
    await rename(temporary, final);
  } catch (error) {
    // ENOTEMPTY: another starter was first, with the same content.
    if (!existsSync(final)) throw error;
    await rm(temporary, { recursive: true, force: true });
  }
  syncDirectory(directory);
  logger.info('the host runtime was installed', { directory: final });
  return final;
}

async function contentHash(files: readonly RuntimeFile[]): Promise<string> {
  const all = createHash('sha256');
  for (const { source, target, executable } of files) {
    const one = createHash('sha256');
    for await (const part of createReadStream(source)) one.update(part as Buffer);
    all.update(`${target}\0${executable ? 'x' : '-'}\0${one.digest('hex')}\n`);
  }
  return all.digest('hex').slice(0, 12);
}

async function copyAll(files: readonly RuntimeFile[], temporary: string): Promise<void> {
  const directories = new Set<string>([temporary]);
  await mkdir(temporary, { recursive: true, mode: 0o755 });
  for (const { source, target, executable } of files) {
    const path = join(temporary, target);
    for (let above = dirname(path); !directories.has(above); above = dirname(above)) {
      directories.add(above);
    }
    await mkdir(dirname(path), { recursive: true, mode: 0o755 });
    await copyFile(source, path);
    await chmod(path, executable ? 0o755 : 0o644);
    const handle = await open(path, 'r');
    await handle.sync().finally(() => handle.close());
  }
  for (const path of directories) syncDirectory(path);
}

export interface PruneOptions {
  readonly directory: string;
  /** The runtime that this px-node starts things from. */
  readonly keep: string;
  readonly logger: Logger;
  readonly processLives: (pid: number, startTime: string) => boolean;
}

/** Removes what no process runs from: the kernel is asked, nobody's memory. */
export async function removeUnusedRuntimes(options: PruneOptions): Promise<void> {
  const { directory, keep, logger } = options;
  for (const name of readdirSync(directory)) {
    const path = join(directory, name);
    if (path === keep || !isRemovable(name, path, options)) continue;
    // Under another name first: a crash in between must not leave half of one that looks whole.
    const doomed = name.startsWith('.') ? path : join(directory, `${removedPrefix}${name}`);
    if (doomed !== path) {
      await rename(path, doomed);
      logger.info('a host runtime that nothing runs from is removed', { directory: path });
    }
    await rm(doomed, { recursive: true, force: true });
  }
}

function isRemovable(name: string, path: string, { processLives }: PruneOptions): boolean {
  if (name.startsWith(temporaryPrefix)) {
    const [pid = '', startTime = ''] = name.slice(temporaryPrefix.length).split('-');
    return !processLives(Number(pid), startTime);
  }
  return name.startsWith(removedPrefix) || !isInUse(path);
}

/** Whether any process runs from the runtime. */
export function isInUse(runtimeDir: string): boolean {
  const loader = join(runtimeDir, runtimePath.loader);
  return readdirSync('/proc').some(
    // The names are compared by what is behind them: the same file has another path in a container.
    (pid) => /^\d+$/.test(pid) && sameFile(`/proc/${pid}/exe`, loader),
  );
}
