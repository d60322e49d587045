import { mkdirSync, mkdtempSync, readFileSync, rmSync, truncateSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { ensureHolder } from '../../src/dataplane/holder/ensure-holder.js';
import { HolderClient } from '../../src/dataplane/holder/holder-client.js';
import { callJsonLines } from '../../src/platform/json-lines.js';
import { runCommand } from '../../src/platform/run-command.js';
import type { TestVolumeSettings } from './block-engine/messages.js';

const built = join(__dirname, '../../dist');

export interface BenchOptions {
  /** Do without FUSE_NOTIFY_RESEND, as on a kernel before 6.9. */
  readonly oldKernel: boolean;
}

/** A run directory with a real holder, a test engine below it, and volumes on real loop devices. */
export class BlockBench implements AsyncDisposable {
  readonly runDir: string;
  readonly holder: HolderClient;
  readonly volumes = new Map<string, TestVolumeSettings>();

  private constructor(
    runDir: string,
    private readonly options: BenchOptions,
  ) {
    this.runDir = runDir;
    this.holder = new HolderClient(runDir);
  }

  static async start(options: BenchOptions = { oldKernel: false }): Promise<BlockBench> {
    const bench = new BlockBench(mkdtempSync(join(tmpdir(), 'px-block-')), options);
    mkdirSync(join(bench.runDir, 'images'));
    await bench.ensure();
    return bench;
  }

  async ensure(): Promise<void> {
    await ensureHolder({
      runDir: this.runDir,
      holderCommand: [process.execPath, join(built, 'src/dataplane/holder/main.js')],
      engineCommand: [
        process.execPath,
        join(built, 'test/support/block-engine/main.js'),
        this.runDir,
        ...(this.options.oldKernel ? ['--old-kernel'] : []),
      ],
      logFile: join(this.runDir, 'holder.log'),
      timeoutMs: 10_000,
    });
  }

  /** Retries while the engine is starting: its socket announces nothing. */
  async engine(method: string, params: object): Promise<unknown> {
    const deadline = Date.now() + 10_000;
    for (;;) {
      try {
        return await callJsonLines(join(this.runDir, 'engine.sock'), method, params, 10_000);
      } catch (error) {
        if ((error as { code?: string }).code !== 'unavailable') throw error;
        if (Date.now() > deadline) {
          throw new Error(`${String(error)}\n${this.log().split('\n').slice(-20).join('\n')}`, {
            cause: error,
          });
        }
        await new Promise((resolve) => setTimeout(resolve, 20));
      }
    }
  }

  async serve(volumeId: string, options: Partial<TestVolumeSettings> = {}): Promise<string> {
    const image = join(this.runDir, 'images', volumeId);
    const settings = {
      ...{ sizeBytes: 256 * 1024 * 1024, blockSizeBytes: 4096 as const, readOnly: false, image },
      ...options,
    };
    writeFileSync(image, '', { flag: 'a' });
    truncateSync(image, settings.sizeBytes);
    this.volumes.set(volumeId, settings);
    await this.engine('attach', { volumeId, settings });
    return image;
  }

  async attach(volumeId: string, options: Partial<TestVolumeSettings> = {}): Promise<string> {
    await this.serve(volumeId, options);
    const settings = this.volumes.get(volumeId);
    const { devicePath } = await this.holder.call('device.attach', {
      volumeId,
      blockSizeBytes: settings?.blockSizeBytes ?? 4096,
      readOnly: settings?.readOnly ?? false,
      discard: true,
    });
    return devicePath;
  }

  async resize(volumeId: string, sizeBytes: number): Promise<void> {
    const settings = this.volumes.get(volumeId);
    await this.engine('resize', { volumeId, settings, sizeBytes });
    await this.holder.call('device.resize', { volumeId, sizeBytes });
  }

  counts(volumeId: string): Promise<Counts> {
    return this.engine('counts', { volumeId }) as Promise<Counts>;
  }

  log(): string {
    return readFileSync(join(this.runDir, 'holder.log'), 'utf8');
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.ensure();
    await this.holder.call('holder.stop', { force: true });
    rmSync(this.runDir, { recursive: true, force: true });
  }
}

export interface Counts {
  readonly reads: number;
  readonly writes: number;
  readonly zeroes: number;
  readonly flushes: number;
  readonly zeroedBytes: number;
}

/** Runs a program and answers its standard output. */
export async function sh(
  file: string,
  args: readonly string[],
  timeoutMs = 120_000,
): Promise<string> {
  return (await runCommand(file, args, { timeoutMs })).stdout;
}
