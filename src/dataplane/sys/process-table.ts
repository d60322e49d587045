import { readFileSync } from 'node:fs';
import { PxError } from '../../kernel/errors.js';
import { monotonicMs } from '../../platform/monotonic.js';
import { closeFile } from './files.js';
import { Errno, must } from './libc.js';
import { onProcessEnd, pidfdOpen } from './process.js';

interface ProcessStat {
  /** One letter; Z has ended and waits for its parent. */
  readonly state: string;
  readonly threads: number;
  /** Clock ticks between boot and the start: with the pid it names one process for good. */
  readonly startTicks: string;
}

/** After SIGKILL only a system call that does not return keeps a process, as a disk's that hangs. */
const killedEndMs = 30_000;

/** Undefined when there is no such process. Source: proc(5), fields 3, 20 and 22. */
export function statOf(pid: number): ProcessStat | undefined {
  try {
    const stat = readFileSync(`/proc/${pid}/stat`, 'utf8');
    // The program's name may hold spaces and brackets; fields are counted after it.
    const fields = stat.slice(stat.lastIndexOf(')') + 2).split(' ');
    const [state = '', threads, startTicks = ''] = [fields[0], fields[17], fields[19]];
    return { state, threads: Number(threads), startTicks };
  } catch {
    return undefined;
  }
}

/** When the process started, in clock ticks since boot; '' when it has ended or never was. */
export function startTimeOf(pid: number): string {
  const stat = statOf(pid);
  // A first thread that has ended is a zombie as well, while others of its process still
  // run, or are held in a system call: the process has its files and its locks until they end.
  if (stat === undefined || (stat.state === 'Z' && stat.threads <= 1)) return '';
  return stat.startTicks;
}

export function processLives(pid: number, startTime: string): boolean {
  const found = startTimeOf(pid);
  return found !== '' && found === startTime;
}

/**
 * Ends a process: asks it with SIGTERM, kills it after `graceMs`, and returns
 * when the kernel says that all of it has ended, so that its files, locks and
 * ports are free. Returns at once when it is gone. Whether it had to be killed.
 *
 * @throws PxError `unavailable` when even a killed process does not end;
 * SystemCallError when the kernel refuses to tell of its end.
 */
export async function endProcess(
  pid: number,
  startTime: string,
  graceMs: number,
): Promise<'ended' | 'killed'> {
  const opened = pidfdOpen(pid);
  if (opened === -Errno.ESRCH) return 'ended';
  const pidfd = must(opened, `opening process ${pid}`);
  try {
    // With the descriptor open the number can't become somebody else's unnoticed.
    if (!processLives(pid, startTime)) return 'ended';
    if (graceMs > 0) {
      signalTo(pid, 'SIGTERM');
      // A frozen process gets its SIGTERM only when it runs again.
      signalTo(pid, 'SIGCONT');
      if (await endsWithin(pidfd, graceMs)) return 'ended';
    }
    const startedMs = monotonicMs();
    signalTo(pid, 'SIGKILL');
    if (await endsWithin(pidfd, killedEndMs)) return 'killed';
    const waitedMs = Math.round(monotonicMs() - startedMs);
    throw new PxError('unavailable', `process ${pid} was killed ${waitedMs} ms ago and still runs`);
  } finally {
    closeFile(pidfd);
  }
}

function endsWithin(pidfd: number, timeoutMs: number): Promise<boolean> {
  return new Promise((resolve) => {
    const end = onProcessEnd(pidfd, () => {
      clearTimeout(late);
      resolve(true);
    });
    const late = setTimeout(() => {
      end.close();
      resolve(false);
    }, timeoutMs);
  });
}

function signalTo(pid: number, name: NodeJS.Signals): void {
  try {
    process.kill(pid, name);
  } catch {
    // ESRCH: it ended in between, which is what the caller waits for.
  }
}
