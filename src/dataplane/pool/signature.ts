import { open } from 'node:fs/promises';
import { toPxError } from '../../kernel/errors.js';
import type { RunCommand } from '../../platform/run-command.js';

export type Signature =
  | { readonly found: 'nothing' }
  | { readonly found: 'xfs'; readonly uuid: string; readonly label: string }
  /** Something else, or no answer: in use. */
  | { readonly found: 'foreign'; readonly what: string };

const probeTimeoutMs = 15_000;
const edgeBytes = 1024 * 1024;

/**
 * What is on the device, as low-level probing of libblkid sees it. Only "exit
 * code 2 and the device can be read" means that there is nothing: blkid gives 2
 * as well when it could not gather anything (blkid(8)).
 */
export async function probeSignature(
  run: RunCommand,
  path: string,
  sizeBytes: number,
): Promise<Signature> {
  try {
    const args = ['-p', '-o', 'udev', path];
    const options = { timeoutMs: probeTimeoutMs, okExitCodes: [0, 2, 8] };
    const { exitCode, stdout } = await run('blkid', args, options);
    if (exitCode === 8) return { found: 'foreign', what: 'several signatures that contradict' };
    if (exitCode === 2) {
      await readEdges(path, sizeBytes);
      return stdout.trim() === '' ? { found: 'nothing' } : foreign(stdout);
    }
    return understand(stdout);
  } catch (error) {
    return { found: 'foreign', what: `no clear answer: ${toPxError(error).message}` };
  }
}

function understand(output: string): Signature {
  const fields = new Map<string, string>();
  for (const line of output.split('\n')) {
    const at = line.indexOf('=');
    if (at > 0) fields.set(line.slice(0, at), line.slice(at + 1));
  }
  if (fields.get('ID_FS_TYPE') === 'xfs' && !fields.has('ID_PART_TABLE_TYPE')) {
    const uuid = fields.get('ID_FS_UUID') ?? '';
    return { found: 'xfs', uuid, label: fields.get('ID_FS_LABEL') ?? '' };
  }
  return foreign(output);
}

function foreign(output: string): Signature {
  const named = /^ID_(?:FS|PART_TABLE)_TYPE=(.+)$/m.exec(output);
  return { found: 'foreign', what: named?.[1] ?? 'a signature without a name' };
}

/** Throws unless both ends, where signatures are, can be read. */
async function readEdges(path: string, sizeBytes: number): Promise<void> {
  const file = await open(path, 'r');
  try {
    const buffer = Buffer.alloc(Math.min(edgeBytes, sizeBytes));
    for (const position of [0, sizeBytes - buffer.length]) {
      const { bytesRead } = await file.read(buffer, 0, buffer.length, position);
      if (bytesRead !== buffer.length) throw new Error(`${path} ends before its size`);
    }
  } finally {
    await file.close();
  }
}
