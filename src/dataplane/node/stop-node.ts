import { existsSync, readFileSync, realpathSync } from 'node:fs';
import { join } from 'node:path';
import { toPxError } from '../../kernel/errors.js';
import type { Logger } from '../../platform/logger.js';
import type { RunCommand } from '../../platform/run-command.js';
import { createEngineClient } from '../engine-client/engine-client.js';
import { cleanUpRunDir } from '../holder/clean-up.js';
import { HolderClient } from '../holder/holder-client.js';
import { stopEtcd } from '../kvdb/internal-etcd.js';
import type { NodeConfig } from './config.js';
import { pidFile } from './daemon.js';
import { endProcess, processLives } from '../sys/process-table.js';
import { endBlockPath } from './running-programs.js';

export interface StopDeps {
  readonly config: NodeConfig;
  readonly logger: Logger;
  readonly run: RunCommand;
  /** Takes devices down that are still in use; what is not written is lost. */
  readonly force: boolean;
}

const daemonEndMs = 20_000;
const blockPathEndMs = 5_000;

/**
 * Ends everything of a node: the daemon, its attached volumes, the holder and
 * the engine, the pools' mounts, the internal etcd. Goes by what the kernel
 * says, so it also clears up after a crash.
 */
export async function stopNode(deps: StopDeps): Promise<void> {
  const { config, logger, run } = deps;
  // First while the daemon still serves: a device in use refuses, and then nothing has changed.
  await detachAll(deps);
  await endDaemon(config.runDir, logger);
  await detachAll(deps);
  const holder = new HolderClient(config.runDir);
  await holder.call('holder.stop', { force: deps.force }).catch((error: unknown) => {
    // Nobody listens: there is no holder to stop.
    if (toPxError(error).code !== 'unavailable') throw error;
  });
  await endBlockPath(config.runDir, blockPathEndMs, logger);
  // What a holder and an engine that were killed have left in the kernel.
  if (existsSync(config.runDir)) {
    await cleanUpRunDir(realpathSync(config.runDir), new Set(), run, logger);
  }
  for (const mountPoint of poolMounts(config.dataDir)) {
    await run('umount', [mountPoint], { timeoutMs: 30_000 });
  }
  if (config.kvdb === 'internal') await stopEtcd(config.dataDir);
  logger.info('the node is stopped');
}

async function endDaemon(runDir: string, logger: Logger): Promise<void> {
  const daemon = readPid(runDir);
  if (daemon === undefined) return;
  const how = await endProcess(daemon.pid, daemon.startTime, daemonEndMs);
  if (how === 'killed') logger.warn('px-node did not end; it was killed', { pid: daemon.pid });
}

/** The file may be old and its number somebody else's by now. */
function readPid(runDir: string): { pid: number; startTime: string } | undefined {
  try {
    const [pid = '', startTime = ''] = readFileSync(pidFile(runDir), 'utf8').trim().split(' ');
    const found = { pid: Number(pid), startTime };
    return processLives(found.pid, startTime) ? found : undefined;
  } catch {
    return undefined;
  }
}

async function detachAll({ config, force, logger }: StopDeps): Promise<void> {
  const engine = createEngineClient(config.runDir);
  const volumes = await engine.call('volume.list', {}).catch(() => []);
  for (const { volumeId } of volumes) {
    logger.info('detaching', { volume: volumeId });
    await engine.call('volume.detach', { volumeId, force });
  }
}

function poolMounts(dataDir: string): string[] {
  const below = join(dataDir, 'devices/');
  return readFileSync('/proc/self/mountinfo', 'utf8')
    .split('\n')
    .map((line) => line.split(' ')[4] ?? '')
    .filter((mountPoint) => mountPoint.startsWith(below));
}
