import { spawn, type ChildProcess } from 'node:child_process';
import { closeSync, mkdirSync, openSync } from 'node:fs';
import { PxError } from '../../kernel/errors.js';
import { delay, monotonicMs } from '../../platform/monotonic.js';
import { HolderClient } from './holder-client.js';
import { holderProtocol, type HolderStatus } from './holder-api.js';

export interface EnsureHolderOptions {
  readonly runDir: string;
  /** What runs the compiled `holder/main.js`. */
  readonly holderCommand: readonly string[];
  /** Program and arguments of the engine. */
  readonly engineCommand: readonly string[];
  /** Where its output goes: a path outside of every container that may end. */
  readonly logFile: string;
  /** Its whole environment; absent: this process's. */
  readonly env?: Readonly<Record<string, string>>;
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
  const starter = startHolder(options);
  const deadline = monotonicMs() + options.timeoutMs;
  for (;;) {
    try {
      return await client.ping();
    } catch (error) {
      // Nothing announces a listening unix socket; the start takes a fraction of a second.
      if (monotonicMs() > deadline || hasFailed(starter)) {
        const message = `the holder does not start; ${options.logFile} says why`;
        throw new PxError('unavailable', message, {}, error);
      }
      await delay(25);
    }
  }
}

/** Refuses a holder that this version cannot work with. */
export function checkHolderProtocol(status: HolderStatus): void {
  const { protocol = 1, oldestClient = 1 } = status;
  const isTooOld = protocol < holderProtocol.oldestHolder;
  if (!isTooOld && oldestClient <= holderProtocol.version) return;
  throw new PxError(
    'failed_precondition',
    `the holder of this node (pid ${status.pid}, since ${status.startedAt}) speaks protocol ` +
      `${protocol}, which this version of px-node ${isTooOld ? 'no longer' : 'does not yet'} ` +
      'knows: drain the node and reboot it, or go back to the version before',
  );
}

/** A second holder of one directory ends by itself (3), so a race of two starters is harmless. */
function hasFailed({ exitCode, signalCode }: ChildProcess): boolean {
  return signalCode !== null || (exitCode !== null && exitCode !== 0 && exitCode !== 3);
}

function startHolder(options: EnsureHolderOptions): ChildProcess {
  const { runDir, holderCommand, engineCommand, logFile, env } = options;
  mkdirSync(runDir, { recursive: true });
  const [program = '', ...args] = holderCommand;
  const log = openSync(logFile, 'a', 0o640);
  const child = spawn(program, [...args, '--run-dir', runDir, '--', ...engineCommand], {
    detached: true,
    // Nothing of where px-node happens to be started may stay in use for years.
    cwd: '/',
    ...(env === undefined ? {} : { env }),
    stdio: ['ignore', log, log],
  });
  child.on('error', () => undefined);
  child.unref();
  closeSync(log);
  return child;
}
