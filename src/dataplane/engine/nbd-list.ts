import { existsSync, readFileSync, renameSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { z } from 'zod';

const entrySchema = z.object({
  readOnly: z.boolean(),
  frontend: z.enum(['nbd', 'nbd-device']).default('nbd'),
});
const listSchema = z.record(z.string(), entrySchema);
type NbdVolumes = z.infer<typeof listSchema>;
export type NbdEntry = z.infer<typeof entrySchema>;

/**
 * Which volumes are served over NBD, for the engine that comes after this one.
 * (Those with FUSE files the holder knows.) A convenience, not an authority:
 * the volume's record decides who may serve it, so a lost list costs a new
 * attach and nothing else.
 */
export class NbdList {
  private readonly path: string;
  private volumes: NbdVolumes;

  constructor(runDir: string) {
    this.path = join(runDir, 'nbd-volumes.json');
    this.volumes = this.read();
  }

  entries(): Map<string, NbdEntry> {
    return new Map(Object.entries(this.volumes));
  }

  add(volumeId: string, entry: NbdEntry): void {
    this.write({ ...this.volumes, [volumeId]: entry });
  }

  remove(volumeId: string): void {
    if (!Object.hasOwn(this.volumes, volumeId)) return;
    const rest = Object.entries(this.volumes).filter(([id]) => id !== volumeId);
    this.write(Object.fromEntries(rest));
  }

  private read(): NbdVolumes {
    if (!existsSync(this.path)) return {};
    try {
      return listSchema.parse(JSON.parse(readFileSync(this.path, 'utf8')));
    } catch {
      return {};
    }
  }

  private write(volumes: NbdVolumes): void {
    this.volumes = volumes;
    writeFileSync(`${this.path}.new`, JSON.stringify(volumes));
    renameSync(`${this.path}.new`, this.path);
  }
}
