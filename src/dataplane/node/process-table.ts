import { readFileSync } from 'node:fs';

/** When the process started, in clock ticks since boot; '' when there is none (or a zombie). */
export function startTimeOf(pid: number): string {
  try {
    const stat = readFileSync(`/proc/${pid}/stat`, 'utf8');
    // The program's name may hold spaces and brackets; fields are counted after it (proc(5)).
    const fields = stat.slice(stat.lastIndexOf(')') + 2).split(' ');
    return fields[0] === 'Z' ? '' : (fields[19] ?? '');
  } catch {
    return '';
  }
}

export function processLives(pid: number, startTime: string): boolean {
  const found = startTimeOf(pid);
  return found !== '' && found === startTime;
}
