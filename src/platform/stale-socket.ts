import { existsSync, lstatSync, mkdirSync, unlinkSync } from 'node:fs';
import { createConnection } from 'node:net';
import { dirname } from 'node:path';
import { PxError } from '../kernel/errors.js';

/**
 * A process that was killed leaves its socket's file behind, and bind refuses
 * it. It is removed only when nobody answers behind it.
 */
export async function removeStaleSocket(path: string): Promise<void> {
  mkdirSync(dirname(path), { recursive: true });
  if (!existsSync(path)) return;
  if (!lstatSync(path).isSocket()) {
    throw new PxError('failed_precondition', `${path} is in the way: it is not a socket`);
  }
  if (await somebodyListens(path)) {
    throw new PxError('failed_precondition', `another process already listens on ${path}`);
  }
  unlinkSync(path);
}

function somebodyListens(path: string): Promise<boolean> {
  return new Promise((resolve) => {
    const socket = createConnection(path);
    const answer = (listens: boolean): void => {
      socket.destroy();
      resolve(listens);
    };
    // A listener whose queue is full still lives: only a refusal proves it dead.
    socket.setTimeout(2_000, () => answer(true));
    socket.on('connect', () => answer(true));
    socket.on('error', (error: NodeJS.ErrnoException) => answer(error.code !== 'ECONNREFUSED'));
  });
}
