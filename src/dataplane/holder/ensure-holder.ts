import { spawn } from 'node:child_process';
import { closeSync, mkdirSync, openSync } from 'node:fs';
import { PxError } from '../../kernel/errors.js';
import { delay, monotonicMs } from '../../platform/monotonic.js';
import { HolderClient } from './holder-client.js';
import type { HolderStatus } from './holder-api.js';

export interface EnsureHolderOptions {
  readonly runDir: string;
  /** The compiled `holder/main.js`. */
  readonly holderMain: string;
  /** Program and arguments of the engine. */
  readonly engineCommand: readonly string[];
  readonly logFile: string;
  readonly timeoutMs: number;
}

/**
 * Answers the holder of the run directory, starting one if none answers. It
 * gets a session of its own and no pipe to us: it outlives its starter.
 */
export async function ensureHolder(options: EnsureHolderOptions): Promise<HolderStatus> {
  const client = new HolderClient(options.runDir);
  const present = await client.ping().catch(() => undefined);
  if (present !== undefined) return present;
  startHolder(options);
  const deadline = monotonicMs() + options.timeoutMs;
  for (;;) {
    try {
      return await client.ping();
    } catch (error) {
      // Nothing announces a listening unix socket; the start takes a fraction of a second.
      if (monotonicMs() > deadline) {
        throw new PxError('unavailable', 'the holder does not start', {}, error);
      }
      await delay(25);
    }
  }
}

/** A second holder of one directory ends by itself, so a race of two starters is harmless. */
function startHolder({ runDir, holderMain, engineCommand, logFile }: EnsureHolderOptions): void {
  mkdirSync(runDir, { recursive: true });
  const log = openSync(logFile, 'a', 0o640);
  const child = spawn(process.execPath, [holderMain, '--run-dir', runDir, '--', ...engineCommand], {
    detached: true,
    stdio: ['ignore', log, log],
  });
  child.on('error', () => undefined);
  child.unref();
  closeSync(log);
}
