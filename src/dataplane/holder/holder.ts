import { realpathSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { z } from 'zod';
import { PxError } from '../../kernel/errors.js';
import { serveJsonLines } from '../../platform/json-lines.js';
import type { JsonLinesServer } from '../../platform/json-lines.js';
import type { Logger } from '../../platform/logger.js';
import type { RunCommand } from '../../platform/run-command.js';
import { openFile, OpenFlag } from '../sys/files.js';
import { Errno, must } from '../sys/libc.js';
import { lockExclusively } from '../sys/process.js';
import { EngineSupervisor } from './engine-supervisor.js';
import { HeldMemory } from './held-memory.js';
import { HeldVolumesTable } from './held-volumes.js';
import { holderProtocol, holderSocketName } from './holder-api.js';
import type { HeldVolumes, HolderStatus } from './holder-api.js';
import { loadHolderState, saveHolderState } from './holder-state.js';

export interface HolderOptions {
  readonly runDir: string;
  readonly engineCommand: readonly string[];
  readonly logger: Logger;
  readonly run: RunCommand;
  /** Called after `holder.stop` was answered. */
  readonly onStopped: () => void;
}

const volume = z.object({ volumeId: z.string() });
const forced = volume.extend({ force: z.boolean().default(false) });
const schemas = {
  hold: volume.extend({ settings: z.record(z.string(), z.unknown()).default({}) }),
  adopted: z.object({ pid: z.number().int(), fds: z.record(z.string(), z.number().int()) }),
  restart: z.object({ command: z.array(z.string()).min(1).optional() }),
  attach: volume.extend({
    blockSizeBytes: z.union([z.literal(512), z.literal(4096)]),
    readOnly: z.boolean(),
    discard: z.boolean().default(true),
  }),
  resize: volume.extend({ sizeBytes: z.number().int().positive() }),
  memory: z.object({ name: z.string().regex(/^[a-z0-9-]{1,64}$/), sizeBytes: z.number().int() }),
  stop: z.object({ force: z.boolean().default(false) }),
};

/**
 * The process that owns what must not end with an engine: the descriptors of
 * /dev/fuse. It does as little as it can, so that it need never be restarted.
 */
export class Holder {
  private readonly options: HolderOptions;
  private readonly runDir: string;
  private readonly volumes: HeldVolumesTable;
  private readonly memory = new HeldMemory();
  private readonly supervisor: EngineSupervisor;
  private readonly startedAt = new Date().toISOString();
  private readonly busy = new Map<string, Promise<unknown>>();
  private adopted: Readonly<Record<string, number>> = {};
  private server: JsonLinesServer | undefined;

  constructor(options: HolderOptions) {
    this.options = options;
    this.runDir = realpathSync(options.runDir);
    this.volumes = new HeldVolumesTable(this.runDir, options.run, options.logger);
    this.supervisor = new EngineSupervisor(options.engineCommand, options.logger, {
      engineChanged: () => {
        this.adopted = {};
        this.save();
      },
    });
  }

  /** False: another holder serves this run directory. */
  async start(): Promise<boolean> {
    if (!this.lock()) return false;
    avoidOutOfMemoryKiller();
    const state = loadHolderState(this.runDir);
    const survived = state.engine !== undefined && this.supervisor.adopt(state.engine);
    await this.volumes.recover(state, survived ? state.engine?.pid : undefined);
    if (survived && state.engine !== undefined) {
      this.adopted = state.adopted;
      this.memory.recover(state.adopted, state.engine.pid);
    }
    this.save();
    this.server = await serveJsonLines(join(this.runDir, holderSocketName), (method, params) =>
      this.handle(method, params),
    );
    // Only now: an engine that finds no holder ends, and each such life makes the next one wait.
    this.supervisor.keepAlive();
    return true;
  }

  /** The lock lives as long as the process: nothing stale is ever left of it. */
  private lock(): boolean {
    const path = join(this.runDir, 'holder.lock');
    const fd = must(openFile(path, OpenFlag.RDWR | OpenFlag.CREAT), `opening ${path}`);
    const result = lockExclusively(fd);
    if (result === -Errno.EAGAIN) return false;
    must(result, `locking ${path}`);
    return true;
  }

  private async handle(method: string, params: unknown): Promise<unknown> {
    switch (method) {
      case 'holder.ping':
        return this.status();
      case 'volume.list':
        return this.list();
      case 'volume.hold': {
        const { volumeId, settings } = parse(schemas.hold, params);
        return this.alone(volumeId, () => this.volumes.hold(volumeId, settings));
      }
      case 'volume.release': {
        const { volumeId, force } = parse(forced, params);
        return this.alone(volumeId, () => this.volumes.release(volumeId, force));
      }
      case 'device.attach': {
        const request = parse(schemas.attach, params);
        return this.alone(request.volumeId, async () => ({
          devicePath: await this.volumes.attachDevice(request),
        }));
      }
      case 'device.detach': {
        const { volumeId, force } = parse(forced, params);
        return this.alone(volumeId, () => this.volumes.detachDevice(volumeId, force));
      }
      case 'device.resize': {
        const { volumeId, sizeBytes } = parse(schemas.resize, params);
        return this.alone(volumeId, () => this.volumes.resizeDevice(volumeId, sizeBytes));
      }
      case 'memory.open': {
        const { name, sizeBytes } = parse(schemas.memory, params);
        return { fd: this.memory.open(name, sizeBytes) };
      }
      case 'engine.adopted':
        return this.noteAdopted(parse(schemas.adopted, params));
      case 'engine.restart':
        return this.supervisor.restart(parse(schemas.restart, params).command);
      case 'holder.stop':
        return this.stop(parse(schemas.stop, params).force);
      default:
        throw new PxError('unimplemented', `the holder knows no method ${method}`);
    }
  }

  private status(): HolderStatus {
    return {
      protocol: holderProtocol.version,
      oldestClient: holderProtocol.oldestClient,
      pid: process.pid,
      startedAt: this.startedAt,
      enginePid: this.supervisor.engine?.pid ?? 0,
      engineStarts: this.supervisor.starts,
    };
  }

  private list(): HeldVolumes {
    // An engine runs at most once: whoever asks is the only one, the others were reaped.
    return {
      holderPid: process.pid,
      previousEnginesEnded: true,
      volumes: this.volumes.list(),
    };
  }

  private noteAdopted({ pid, fds }: { pid: number; fds: Record<string, number> }): void {
    // A late word of an engine that has been replaced.
    if (pid !== this.supervisor.engine?.pid) return;
    this.adopted = { ...this.adopted, ...fds };
    this.save();
  }

  private async stop(force: boolean): Promise<void> {
    if (this.volumes.size > 0 && !force) {
      throw new PxError('failed_precondition', `${this.volumes.size} volumes are still attached`);
    }
    for (const { volumeId } of this.volumes.list()) {
      await this.alone(volumeId, () => this.volumes.release(volumeId, true));
    }
    await this.supervisor.stop();
    // The answer still has to leave.
    setTimeout(() => {
      void this.server?.close().then(this.options.onStopped);
    }, 50);
  }

  /** One operation at a time on a volume, in the order of their arrival. */
  private async alone<Result>(volumeId: string, work: () => Promise<Result>): Promise<Result> {
    const before = this.busy.get(volumeId) ?? Promise.resolve();
    const mine = before.then(work);
    const settled = mine.catch(() => undefined);
    this.busy.set(volumeId, settled);
    try {
      return await mine;
    } finally {
      if (this.busy.get(volumeId) === settled) this.busy.delete(volumeId);
      this.save();
    }
  }

  private save(): void {
    const engine = this.supervisor.engine;
    saveHolderState(this.runDir, {
      engine,
      adopted: this.adopted,
      settings: this.volumes.settings(),
      mountTokens: this.volumes.mountTokens(),
      devices: this.volumes.devices(),
    });
  }
}

function parse<Schema extends z.ZodType>(schema: Schema, params: unknown): z.infer<Schema> {
  const result = schema.safeParse(params);
  if (result.success) return result.data;
  throw new PxError('invalid_argument', z.prettifyError(result.error));
}

/** Holder and engine (which inherits it) are a disk to the rest of the machine. */
function avoidOutOfMemoryKiller(): void {
  try {
    writeFileSync('/proc/self/oom_score_adj', '-1000');
  } catch {
    // Without CAP_SYS_RESOURCE the kernel refuses; px works, only less protected.
  }
}
