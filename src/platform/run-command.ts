import { spawn } from 'node:child_process';
import { PxError } from '../kernel/errors.js';

export interface RunOptions {
  readonly timeoutMs: number;
  /** More output than this ends the command: a runaway child must not eat the memory. */
  readonly maxOutputBytes?: number;
  readonly input?: string;
  readonly env?: Readonly<Record<string, string>>;
  readonly cwd?: string;
  /** Exit codes that are answers, not failures. */
  readonly okExitCodes?: readonly number[];
}

export interface CommandResult {
  readonly exitCode: number;
  readonly stdout: string;
  readonly stderr: string;
}

/** How a caller runs programs; tests hand in their own. */
export type RunCommand = (
  file: string,
  args: readonly string[],
  options: RunOptions,
) => Promise<CommandResult>;

const defaultMaxOutputBytes = 4 * 1024 * 1024;
/** A child in an uninterruptible kernel wait ignores SIGKILL; nobody waits for it longer. */
const killGraceMs = 500;

/**
 * Runs a program to its end, without a shell. Rejects with a PxError that names
 * the command, how it ended and the last of what it said.
 */
export const runCommand: RunCommand = (file, args, options) =>
  new Promise((resolve, reject) => {
    const command = [file, ...args].join(' ');
    const maxOutputBytes = options.maxOutputBytes ?? defaultMaxOutputBytes;
    const child = spawn(file, args, {
      stdio: ['pipe', 'pipe', 'pipe'],
      env: { ...process.env, LC_ALL: 'C', ...options.env },
      cwd: options.cwd,
    });
    const stdout: Buffer[] = [];
    const stderr: Buffer[] = [];
    let outputBytes = 0;
    let killedFor: PxError | undefined;
    let settled = false;

    const settle = (exitCode: number | null, signal: NodeJS.Signals | null): void => {
      if (settled) return;
      settled = true;
      clearTimeout(timer);
      child.stdout.destroy();
      child.stderr.destroy();
      const result = {
        exitCode: exitCode ?? -1,
        stdout: Buffer.concat(stdout).toString('utf8'),
        stderr: Buffer.concat(stderr).toString('utf8'),
      };
      if (killedFor !== undefined) return reject(killedFor);
      if (exitCode !== null && (options.okExitCodes ?? [0]).includes(exitCode)) {
        return resolve(result);
      }
      reject(commandFailed(command, exitCode, signal, result));
    };
    const kill = (error: PxError): void => {
      killedFor ??= error;
      child.kill('SIGKILL');
      setTimeout(() => settle(null, 'SIGKILL'), killGraceMs);
    };
    const timer = setTimeout(() => {
      const seconds = options.timeoutMs / 1000;
      kill(new PxError('deadline_exceeded', `"${command}" did not end within ${seconds} s`));
    }, options.timeoutMs);
    const gather = (into: Buffer[]) => (data: Buffer) => {
      outputBytes += data.length;
      if (outputBytes > maxOutputBytes) {
        kill(new PxError('internal', `"${command}" wrote more than ${maxOutputBytes} bytes`));
      } else into.push(data);
    };
    child.stdout.on('data', gather(stdout));
    child.stderr.on('data', gather(stderr));
    child.on('error', (error: NodeJS.ErrnoException) => {
      killedFor ??=
        error.code === 'ENOENT'
          ? new PxError('failed_precondition', `the program "${file}" is not installed`)
          : new PxError('internal', `cannot run "${command}": ${error.message}`, {}, error);
      settle(null, null);
    });
    child.on('close', settle);
    // A grandchild that kept the pipes open must not hold the answer back.
    child.on('exit', (code, signal) => setTimeout(() => settle(code, signal), killGraceMs));
    // The child may end without reading its input.
    child.stdin.on('error', () => undefined);
    child.stdin.end(options.input ?? '');
  });

function commandFailed(
  command: string,
  exitCode: number | null,
  signal: NodeJS.Signals | null,
  result: CommandResult,
): PxError {
  const ending = exitCode === null ? `was ended by ${signal ?? 'a signal'}` : `gave ${exitCode}`;
  const said = (result.stderr.trim() || result.stdout.trim()).split('\n').slice(-3).join(' | ');
  return new PxError('internal', `"${command}" ${ending}${said === '' ? '' : `: ${said}`}`, {
    exitCode: exitCode ?? -1,
  });
}
