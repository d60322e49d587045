import { spawn } from 'node:child_process';
import { PxError } from '../../kernel/errors.js';
import { monotonicMs } from '../../platform/monotonic.js';
import type { Logger } from '../../platform/logger.js';
import { closeFile } from '../sys/files.js';
import { onProcessEnd, pidfdOpen } from '../sys/process.js';
import { statOf } from '../sys/process-table.js';

/** An engine that lived for less counts as one that failed to start. */
const shortLifeMs = 1_000;
const maxBackoffMs = 5_000;
/** SIGTERM lets an engine say goodbye; it is built to be killed, so it gets no longer. */
const stopGraceMs = 2_000;

/** Tells a process from a later one with the same number. */
export interface ProcessIdentity {
  readonly pid: number;
  /** Clock ticks between boot and its start. */
  readonly startTicks: number;
}

export interface SupervisorEvents {
  /** A new engine runs, or the last one has ended (undefined) and was reaped. */
  engineChanged(engine: ProcessIdentity | undefined): void;
}

/**
 * Keeps one engine alive. The next one starts only after the end of the last
 * was reported by the kernel: two engines never serve at once.
 */
export class EngineSupervisor {
  starts = 0;
  private command: readonly string[];
  private readonly logger: Logger;
  private readonly events: SupervisorEvents;
  private current: ProcessIdentity | undefined;
  private ended: Promise<void> = Promise.resolve();
  private keeping = false;
  private stopping = false;
  private shortLives = 0;

  constructor(command: readonly string[], logger: Logger, events: SupervisorEvents) {
    this.command = command;
    this.logger = logger;
    this.events = events;
  }

  get engine(): ProcessIdentity | undefined {
    return this.current;
  }

  /** From here on an engine runs; until here one that was taken over may end without a next one. */
  keepAlive(): void {
    this.keeping = true;
    if (this.current === undefined) this.start();
  }

  private start(): void {
    const [file, ...args] = this.command;
    if (file === undefined) throw new PxError('invalid_argument', 'no engine command was given');
    const startedAt = monotonicMs();
    const child = spawn(file, args, { stdio: ['ignore', 'inherit', 'inherit'] });
    this.starts++;
    this.ended = new Promise((resolve) => {
      child.on('error', (error) => {
        this.logger.error('the engine cannot be started', { error: error.message });
        if (child.pid === undefined) this.reaped(startedAt, 'not started', resolve);
      });
      child.on('exit', (code, signal) => this.reaped(startedAt, signal ?? code, resolve));
    });
    if (child.pid === undefined) return;
    this.current = identify(child.pid);
    this.logger.info('the engine was started', { enginePid: child.pid });
    this.events.engineChanged(this.current);
  }

  /** Watches over an engine that an earlier holder started. False: it has ended already. */
  adopt(engine: ProcessIdentity): boolean {
    const pidfd = pidfdOpen(engine.pid);
    if (pidfd < 0) return false;
    if (identify(engine.pid)?.startTicks !== engine.startTicks) {
      closeFile(pidfd);
      return false;
    }
    this.current = engine;
    const startedAt = monotonicMs();
    this.ended = new Promise((resolve) => {
      onProcessEnd(pidfd, () => {
        closeFile(pidfd);
        this.reaped(startedAt, 'ended', resolve);
      });
    });
    this.logger.info('the engine was taken over', { enginePid: engine.pid });
    this.events.engineChanged(engine);
    return true;
  }

  /** The next engine starts by itself as soon as this one is gone. */
  async restart(command: readonly string[] | undefined): Promise<void> {
    if (command !== undefined) this.command = command;
    this.shortLives = 0;
    await this.end();
  }

  async stop(): Promise<void> {
    this.stopping = true;
    await this.end();
  }

  private async end(): Promise<void> {
    const engine = this.current;
    if (engine === undefined) return;
    signal(engine.pid, 'SIGTERM');
    const late = setTimeout(() => {
      if (this.current === engine) signal(engine.pid, 'SIGKILL');
    }, stopGraceMs);
    await this.ended;
    clearTimeout(late);
  }

  private reaped(startedAt: number, how: unknown, resolve: () => void): void {
    const livedMs = Math.round(monotonicMs() - startedAt);
    this.current = undefined;
    this.events.engineChanged(undefined);
    resolve();
    if (this.stopping || !this.keeping) return;
    this.shortLives = livedMs < shortLifeMs ? this.shortLives + 1 : 0;
    // The first death is answered at once: I/O is waiting.
    const waitMs =
      this.shortLives < 2 ? 0 : Math.min(maxBackoffMs, 100 * 2 ** (this.shortLives - 2));
    this.logger.warn('the engine ended', { how, livedMs, waitMs });
    if (waitMs === 0) return this.start();
    setTimeout(() => {
      if (!this.stopping) this.start();
    }, waitMs);
  }
}

function signal(pid: number, name: NodeJS.Signals): void {
  try {
    process.kill(pid, name);
  } catch {
    // ESRCH: it ended in between; its end is reported by itself.
  }
}

/** Undefined when there is no such process; one that has ended is there until it is reaped. */
export function identify(pid: number): ProcessIdentity | undefined {
  const stat = statOf(pid);
  return stat === undefined ? undefined : { pid, startTicks: Number(stat.startTicks) };
}
