import { fork, type ChildProcess } from 'node:child_process';
import { fileURLToPath } from 'node:url';
import type { Logger } from '../../../platform/logger.js';
import { delay } from '../../../platform/monotonic.js';
import { nodeCommand } from '../../host-runtime/layout.js';
import type { TlsRelaySettings } from './settings.js';

const maxBackoffMs = 2_000;
const shortLifeMs = 1_000;
const startWaitMs = 3_000;

/**
 * The engine's hold on its relay: a child, so that TLS takes no time from the
 * engine's main thread, and its end breaks connections and nothing else. It
 * ends with the engine, as its channel to the engine does.
 */
export class RelayProcess {
  private child: ChildProcess | undefined;
  private startedAt = 0;
  private shortLives = 0;
  private ready: () => void = () => undefined;
  private readonly whenReady = new Promise<void>((resolve) => (this.ready = resolve));

  constructor(
    private readonly mainFile: URL,
    private settings: TlsRelaySettings,
    private readonly log: Logger,
  ) {}

  start(): void {
    this.startedAt = performance.now();
    const [execPath, ...execArgv] = nodeCommand(process.execPath);
    const child = fork(fileURLToPath(this.mainFile), [], {
      // The engine's own flags (a profiler's, say) are not meant for it.
      ...{ execPath, execArgv },
      stdio: ['ignore', 'inherit', 'inherit', 'ipc'],
    });
    this.child = child;
    let over = false;
    const end = (how: unknown): void => {
      if (over) return;
      over = true;
      this.ended(how);
    };
    child.on('error', (error) => {
      // Only a child that never was has no exit to tell of.
      if (child.pid === undefined) end(error.message);
    });
    child.once('message', () => this.ready());
    child.on('exit', (code, signal) => end(signal ?? code));
    child.send(this.settings, (error) => {
      if (error !== null) child.kill('SIGKILL');
    });
  }

  /**
   * Links that begin before the relay listens try again later, which delays
   * what the engine takes over; a relay that cannot start must not stop it.
   */
  async started(): Promise<void> {
    await Promise.race([this.whenReady, delay(startWaitMs)]);
  }

  /** Other files: connections that are open end, and come back under the new ones. */
  configure(settings: TlsRelaySettings): void {
    if (JSON.stringify(settings) === JSON.stringify(this.settings)) return;
    this.settings = settings;
    this.child?.kill('SIGKILL');
  }

  private ended(how: unknown): void {
    this.child = undefined;
    const livedMs = Math.round(performance.now() - this.startedAt);
    this.shortLives = livedMs < shortLifeMs ? this.shortLives + 1 : 0;
    const waitMs = this.shortLives === 0 ? 0 : Math.min(maxBackoffMs, 100 * 2 ** this.shortLives);
    this.log.warn('the TLS relay ended', { how, livedMs, waitMs });
    setTimeout(() => this.start(), waitMs);
  }
}
