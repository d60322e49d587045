import { spawn } from 'node:child_process';
import type { Readable } from 'node:stream';
import { pipeline } from 'node:stream/promises';

/** Runs a command with a stream as its input; throws when it fails or takes too long. */
export async function pipeInto(
  input: Readable,
  command: string,
  args: readonly string[],
  options: { readonly timeoutMs: number; readonly env: Readonly<Record<string, string>> },
): Promise<void> {
  const child = spawn(command, [...args], {
    stdio: ['pipe', 'ignore', 'pipe'],
    env: { ...process.env, ...options.env },
    timeout: options.timeoutMs,
    killSignal: 'SIGKILL',
  });
  let said = '';
  child.stderr.setEncoding('utf8').on('data', (text: string) => (said += text));
  const ended = new Promise<number>((resolve, reject) => {
    child.on('error', reject);
    child.on('close', (code) => resolve(code ?? -1));
  });
  // The command may end before it has read its input; its exit code tells.
  await pipeline(input, child.stdin).catch(() => undefined);
  const code = await ended;
  if (code !== 0) {
    throw new Error(`${command} ${args.join(' ')} ended with ${code}: ${said.slice(-1000)}`);
  }
}
