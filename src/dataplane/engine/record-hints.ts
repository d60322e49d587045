import type { VolumeRecord } from '../../kernel/volume-record.js';
import type { KvKeys, Kvdb, KvWatch } from '../kvdb/port.js';

/**
 * Tells the attached volumes of newer records. Hints only: nothing depends on
 * them but how soon a fenced coordinator notices.
 */
export class RecordHints {
  private watch: KvWatch | undefined;
  private readonly reading = new Set<string>();

  constructor(
    private readonly keys: KvKeys,
    private readonly attached: () => Iterable<string>,
    private readonly onRecord: (record: VolumeRecord) => void,
  ) {}

  follow(kvdb: Kvdb): void {
    this.watch?.close();
    this.watch = kvdb.watch(this.keys.volumes, (keys) => {
      const hinted = new Set(keys);
      for (const volumeId of this.attached()) {
        // No keys: anything may have changed.
        if (hinted.size === 0 || hinted.has(this.keys.volume(volumeId))) {
          void this.read(kvdb, volumeId);
        }
      }
    });
  }

  close(): void {
    this.watch?.close();
  }

  private async read(kvdb: Kvdb, volumeId: string): Promise<void> {
    if (this.reading.has(volumeId)) return;
    this.reading.add(volumeId);
    try {
      const entry = await kvdb.get(this.keys.volume(volumeId));
      if (entry !== undefined) this.onRecord(JSON.parse(entry.value) as VolumeRecord);
    } catch {
      // Another hint comes when the store is back, and every relist.
    } finally {
      this.reading.delete(volumeId);
    }
  }
}
