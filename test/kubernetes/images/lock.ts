import { spawn } from 'node:child_process';
import { once } from 'node:events';

const waitSeconds = 1800;

export interface Lock {
  release(): void;
}

/**
 * One builder at a time, for buildah's storage and the work folder are shared.
 * The kernel holds the lock for a child that lives as long as its standard input
 * is open: it is free again however this process ends.
 */
export async function holdLock(file: string, say: (text: string) => void): Promise<Lock> {
  const child = spawn(
    'flock',
    ['--wait', String(waitSeconds), file, 'sh', '-c', 'echo held; cat'],
    {
      stdio: ['pipe', 'pipe', 'inherit'],
    },
  );
  const waiting = setTimeout(() => say('waiting for another build of images'), 2000);
  try {
    const held = once(child.stdout, 'data').then(() => true);
    const ended = once(child, 'close').then(() => false);
    if (!(await Promise.race([held, ended]))) {
      throw new Error(`another build of images has held ${file} for ${waitSeconds} s`);
    }
  } finally {
    clearTimeout(waiting);
  }
  return { release: () => child.stdin.end() };
}
