import type { Kvdb } from '../kvdb/port.js';
import type { KvCasOutcome, KvPort, KvRead } from '../protocol/record-updater.js';

/** The key-value store in the form that the protocol's record updater works with. */
export function kvPortOf(kvdb: () => Kvdb): KvPort {
  return {
    get: (key, callback) => {
      const answer = async (): Promise<KvRead> => {
        try {
          const entry = await kvdb().get(key);
          if (entry === undefined) return { outcome: 'absent' };
          return { outcome: 'found', value: entry.value, revision: entry.modRevision };
        } catch {
          return { outcome: 'failed' };
        }
      };
      void answer().then(callback);
    },
    compareAndSet: (key, revision, value, callback) => {
      const answer = async (): Promise<KvCasOutcome> => {
        const { outcome } = await kvdb().txn(
          [{ key, modRevision: revision }],
          [{ type: 'put', key, value }],
        );
        return outcome;
      };
      void answer().then(callback);
    },
  };
}
