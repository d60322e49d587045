import { mkdirSync } from 'node:fs';
import { join } from 'node:path';
import { z } from 'zod';
import { toPxError } from '../../kernel/errors.js';
import type { Logger } from '../../platform/logger.js';
import { makeDirectoryDurably, readIfPresent, writeDurably } from '../store/durable-files.js';
import { namesIn } from '../store/replica-meta.js';

const entrySchema = z.object({
  deviceId: z.string().uuid(),
  poolId: z.string().min(1),
  class: z.enum(['high', 'medium', 'low']),
  /** Where it was seen last; only for people. */
  path: z.string(),
  sizeBytes: z.number(),
  /** `formatting`: its identity file is not known to be written. */
  state: z.enum(['formatting', 'made']),
});

export type RegisteredDevice = z.infer<typeof entrySchema>;

/**
 * The devices that this node made or adopted: `<dataDir>/devices/registry/<deviceId>`.
 *
 * An entry is durable **before** mkfs runs, and the device id becomes the file
 * system's UUID: a half-made file system with this UUID can be nobody else's.
 */
export class DeviceRegistry {
  private readonly directory: string;
  private readonly entries = new Map<string, RegisteredDevice>();

  constructor(dataDir: string, log: Logger) {
    mkdirSync(dataDir, { recursive: true, mode: 0o700 });
    this.directory = makeDirectoryDurably(dataDir, 'devices', 'registry');
    for (const name of namesIn(this.directory)) {
      if (!name.endsWith('.json')) continue;
      try {
        const text = readIfPresent(join(this.directory, name)) ?? '';
        const entry = entrySchema.parse(JSON.parse(text));
        this.entries.set(entry.deviceId, entry);
      } catch (error) {
        // Its device is then judged by its identity file alone.
        log.warn('an entry of the device registry is damaged', {
          name,
          reason: toPxError(error).message,
        });
      }
    }
  }

  get(deviceId: string): RegisteredDevice | undefined {
    return this.entries.get(deviceId);
  }

  all(): RegisteredDevice[] {
    return [...this.entries.values()];
  }

  put(entry: RegisteredDevice): void {
    writeDurably(join(this.directory, `${entry.deviceId}.json`), `${JSON.stringify(entry)}\n`);
    this.entries.set(entry.deviceId, entry);
  }
}
