import { existsSync, readFileSync, renameSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { z } from 'zod';

const listSchema = z.record(z.string(), z.object({ readOnly: z.boolean() }));
type NbdVolumes = z.infer<typeof listSchema>;

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

  entries(): { volumeId: string; readOnly: boolean }[] {
    return Object.entries(this.volumes).map(([volumeId, { readOnly }]) => ({ volumeId, readOnly }));
  }

  add(volumeId: string, readOnly: boolean): void {
    this.write({ ...this.volumes, [volumeId]: { readOnly } });
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
