import { readdirSync, readFileSync } from 'node:fs';
import type { Logger } from '../../platform/logger.js';
import { delay, monotonicMs } from '../../platform/monotonic.js';
import { endProcess, startTimeOf } from '../sys/process-table.js';

/** Scripts, relative to the root of the repository or of a runtime. */
export const holderScript = 'dist/src/dataplane/holder/main.js';
export const engineScript = 'dist/src/dataplane/engine/main.js';

export interface RunningProgram {
  readonly pid: number;
  readonly startTime: string;
  readonly script: string;
}

/** The holder and the engine of a run directory, as the kernel's table of processes has them. */
export function blockPathPrograms(runDir: string): RunningProgram[] {
  return readdirSync('/proc')
    .map(Number)
    .filter(Number.isInteger)
    .flatMap((pid) => {
      const script = scriptOf(commandOf(pid), runDir);
      return script === undefined ? [] : [{ pid, startTime: startTimeOf(pid), script }];
    });
}

/** Ends them. The holder goes first: it would start another engine. */
export async function endBlockPath(runDir: string, waitMs: number, logger: Logger): Promise<void> {
  const endMs = monotonicMs() + waitMs;
  while (monotonicMs() < endMs) {
    if (blockPathPrograms(runDir).length === 0) return;
    await delay(50);
  }
  for (const script of [holderScript, engineScript]) {
    for (const { pid, startTime } of blockPathPrograms(runDir).filter((p) => p.script === script)) {
      logger.warn('a program of the block path does not end; it is killed', { pid, script });
      await endProcess(pid, startTime, 0);
    }
  }
}

/** The arguments of a process as the kernel has them; none when it is gone. */
export function commandOf(pid: number): string[] {
  try {
    return readFileSync(`/proc/${pid}/cmdline`, 'utf8').replace(/\0$/, '').split('\0');
  } catch {
    return [];
  }
}

/** Which of the two a command line is, when it serves this directory. */
export function scriptOf(command: readonly string[], runDir: string): string | undefined {
  const at = command.indexOf('--run-dir');
  if (at < 0 || command[at + 1] !== runDir) return undefined;
  // The holder's arguments hold the engine's: what comes first is what runs.
  const script = command.find((argument) => /\/(holder|engine)\/main\.js$/.test(argument));
  return [holderScript, engineScript].find((known) => script?.endsWith(`/${known}`) === true);
}
