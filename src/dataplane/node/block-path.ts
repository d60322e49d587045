import { mkdir } from 'node:fs/promises';
import { join } from 'node:path';
import { toPxError } from '../../kernel/errors.js';
import type { Logger } from '../../platform/logger.js';
import type { RunCommand } from '../../platform/run-command.js';
import { runtimeContents } from '../host-runtime/contents.js';
import { installRuntime, removeUnusedRuntimes } from '../host-runtime/install.js';
import { nodeCommand, programCommand, runtimePath } from '../host-runtime/layout.js';
import { checkHolderProtocol, ensureHolder } from '../holder/ensure-holder.js';
import { HolderClient } from '../holder/holder-client.js';
import type { HolderStatus } from '../holder/holder-api.js';
import { checkHostContainer, enterHostCommand } from './host-namespace.js';
import { processLives, startTimeOf } from '../sys/process-table.js';
import { commandOf, engineScript, holderScript } from './running-programs.js';

/** The cgroup of the holder and of what it starts, at the root of each hierarchy. */
export const holderCgroup = 'px-holder';

export interface BlockPathOptions {
  readonly runDir: string;
  readonly dataDir: string;
  /** Where dist, proto and node_modules lie. */
  readonly rootDir: string;
  /** On the host; undefined: px-node itself runs on the host, and the block path from its files. */
  readonly hostRuntimeDir: string | undefined;
  readonly version: string;
  readonly run: RunCommand;
  readonly logger: Logger;
}

/**
 * Holder and engine: what serves the volumes and outlives px-node. On a host
 * they run from px-node's own files; from a container they are started in the
 * host's namespaces, from a runtime that is put there.
 */
export class BlockPath {
  private runtimeDir: string | undefined;
  private running = '';

  constructor(private readonly options: BlockPathOptions) {}

  /** The directory name of the runtime that the engine runs from; '' on a host. */
  engineVersion(): string {
    return this.running;
  }

  /** Finds or starts the holder, which starts the engine. */
  async start(): Promise<HolderStatus> {
    const { runDir, hostRuntimeDir, logger } = this.options;
    await this.install();
    const status = await ensureHolder({
      runDir,
      holderCommand: this.holderCommand(),
      engineCommand: this.engineCommand(),
      logFile: hostRuntimeDir === undefined ? this.logFile() : join('/proc/1/root', this.logFile()),
      env: hostRuntimeDir === undefined ? undefined : this.hostEnvironment(),
      timeoutMs: 15_000,
    });
    checkHolderProtocol(status);
    logger.info('the holder runs', { pid: status.pid, enginePid: status.enginePid });
    this.running = versionOf(commandOf(status.enginePid)) ?? this.version();
    return status;
  }

  /**
   * Has the holder replace an engine of another version: I/O waits meanwhile,
   * and nothing fails. The caller sees to it that the kvdb answers, as a
   * starting engine must raise the epoch of each volume there.
   */
  async upgradeEngine(): Promise<void> {
    const { runDir, hostRuntimeDir, logger } = this.options;
    if (hostRuntimeDir === undefined || this.runtimeDir === undefined) return;
    const holder = new HolderClient(runDir);
    const { enginePid } = await holder.ping();
    const command = this.engineCommand();
    // The kernel knows what runs; a number that is gone by now has another command or none.
    if (commandOf(enginePid).join('\0') !== command.join('\0')) {
      logger.info('the engine is replaced by that of this version', {
        ...{ from: this.running, to: this.version(), enginePid },
      });
      await holder.call('engine.restart', { command });
    }
    this.running = this.version();
    await this.prune(hostRuntimeDir, this.runtimeDir);
  }

  private async install(): Promise<void> {
    const { hostRuntimeDir, rootDir, version, run, logger, runDir, dataDir } = this.options;
    if (hostRuntimeDir === undefined) return;
    await mkdir(hostRuntimeDir, { recursive: true, mode: 0o755 });
    checkHostContainer([runDir, dataDir, hostRuntimeDir]);
    const files = await runtimeContents({
      ...{ rootDir, run, nodeProgram: process.execPath },
      searchPath: process.env['PATH'] ?? '',
    });
    this.runtimeDir = await installRuntime({
      ...{ directory: hostRuntimeDir, version, files, logger },
      starter: { pid: process.pid, startTime: startTimeOf(process.pid) },
    });
  }

  private async prune(directory: string, keep: string): Promise<void> {
    try {
      await removeUnusedRuntimes({
        ...{ directory, keep, processLives },
        logger: this.options.logger,
      });
    } catch (error) {
      // It costs space and nothing else; the next start tries again.
      const reason = toPxError(error).message;
      this.options.logger.warn('old host runtimes cannot be removed', { reason });
    }
  }

  private holderCommand(): readonly string[] {
    const { rootDir } = this.options;
    if (this.runtimeDir === undefined) {
      return [...nodeCommand(process.execPath), join(rootDir, holderScript)];
    }
    return [
      ...enterHostCommand(),
      ...programCommand(this.runtimeDir, 'node'),
      runtimePath.script(this.runtimeDir, holderScript),
      ...['--leave-cgroups', holderCgroup, '--log-file', this.logFile()],
    ];
  }

  private engineCommand(): readonly string[] {
    const { rootDir, runDir } = this.options;
    const command =
      this.runtimeDir === undefined
        ? [...nodeCommand(process.execPath), join(rootDir, engineScript)]
        : [
            ...programCommand(this.runtimeDir, 'node'),
            runtimePath.script(this.runtimeDir, engineScript),
          ];
    return [...command, '--run-dir', runDir];
  }

  private version(): string {
    return this.runtimeDir?.split('/').at(-1) ?? '';
  }

  private logFile(): string {
    return join(this.options.runDir, 'holder.log');
  }

  /** Of the pod's environment nothing has a meaning on the host but these. */
  private hostEnvironment(): Readonly<Record<string, string>> {
    const kept = ['PX_LOG_LEVEL', 'TZ'].flatMap((name) => {
      const value = process.env[name];
      return value === undefined ? [] : [[name, value] as const];
    });
    return {
      ...Object.fromEntries(kept),
      PATH: '/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin',
      NODE_ENV: 'production',
    };
  }
}

/** `…/runtime/0.1.0-0123456789ab/app/dist/…/engine/main.js` */
function versionOf(command: readonly string[]): string | undefined {
  const script = command.find((argument) => argument.endsWith(`/app/${engineScript}`));
  return script?.split('/').at(-7);
}
