import { statSync } from 'node:fs';

/** Whether two paths, links followed, lead to one file or directory. False when one leads nowhere. */
export function sameFile(first: string, second: string): boolean {
  try {
    const [a, b] = [statSync(first), statSync(second)];
    return a.ino === b.ino && a.dev === b.dev;
  } catch {
    return false;
  }
}
