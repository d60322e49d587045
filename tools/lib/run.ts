import { spawn } from 'node:child_process';

/**
 * Running commands for the tools. Every command has a time bound, because a
 * tool that waits for ever on a dead device is worse than one that says so.
 */
export interface RunOptions {
  readonly timeoutMs?: number;
  readonly input?: string;
  readonly cwd?: string;
  readonly env?: Readonly<Record<string, string>>;
  /** Sees the output as it comes. */
  readonly onOutput?: (text: string) => void;
}

export interface RunResult {
  readonly code: number;
  readonly stdout: string;
  readonly stderr: string;
  readonly timedOut: boolean;
}

const defaultTimeoutMs = 60_000;

/** Runs a command to its end and reports how it ended; throws only if it can't be started. */
export function tryRun(
  command: string,
  args: readonly string[],
  options: RunOptions = {},
): Promise<RunResult> {
  return new Promise((resolve, reject) => {
    const child = spawn(command, [...args], {
      stdio: ['pipe', 'pipe', 'pipe'],
      cwd: options.cwd,
      env: { ...process.env, ...options.env },
    });
    let stdout = '';
    let stderr = '';
    let timedOut = false;
    const timer = setTimeout(() => {
      timedOut = true;
      child.kill('SIGKILL');
      // A process in uninterruptible sleep doesn't die: its pipes must not keep us.
      child.stdout.destroy();
      child.stderr.destroy();
      child.unref();
      resolve({ code: -1, stdout, stderr: `${stderr}\ntimed out`, timedOut });
    }, options.timeoutMs ?? defaultTimeoutMs);
    child.stdout.setEncoding('utf8').on('data', (text: string) => {
      stdout += text;
      options.onOutput?.(text);
    });
    child.stderr.setEncoding('utf8').on('data', (text: string) => {
      stderr += text;
      options.onOutput?.(text);
    });
    // The command may end before it has read its input; its exit code tells.
    child.stdin.on('error', () => undefined);
    child.stdin.end(options.input ?? '');
    child.on('error', (error) => {
      clearTimeout(timer);
      reject(error);
    });
    child.on('close', (code, signal) => {
      clearTimeout(timer);
      resolve({ code: code ?? (signal === null ? -1 : 128), stdout, stderr, timedOut });
    });
  });
}

/** Runs a command and returns its standard output; anything but exit code 0 is an error. */
export async function run(
  command: string,
  args: readonly string[],
  options: RunOptions = {},
): Promise<string> {
  const result = await tryRun(command, args, options);
  if (result.code !== 0) {
    const detail = (result.stderr.trim() || result.stdout.trim()).slice(-2000);
    throw new Error(`${command} ${args.join(' ')} ended with ${result.code}: ${detail}`);
  }
  return result.stdout;
}

/** Where a command is in PATH, or undefined. */
export async function findCommand(name: string): Promise<string | undefined> {
  const result = await tryRun('sh', ['-c', 'command -v "$0"', name], { timeoutMs: 5000 });
  return result.code === 0 ? result.stdout.trim() : undefined;
}
