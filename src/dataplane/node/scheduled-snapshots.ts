import { kindLabel, slotLabel, type DueSnapshot } from '../schedule/plan-snapshots.js';
import { SnapshotScheduler } from '../schedule/snapshot-scheduler.js';
import type { NodeContext } from './context.js';
import { isFirstAlive } from './reconcile.js';

/** Without reflinks a snapshot is a real copy of the data. */
const takeTimeoutMs = 600_000;
const removeTimeoutMs = 60_000;

/**
 * The scheduler of this cluster, as far as this node is it: the first that
 * lives. Two that think so for a moment ask for the same snapshot.
 */
export function scheduledSnapshots(context: NodeContext): SnapshotScheduler {
  const { view, self, kvdb, peers, volumes, logger } = context;
  // Through the API, which finds the node that coordinates the volume.
  const api = () => peers.api(self.id);
  return new SnapshotScheduler({
    logger,
    nowMs: () => Date.now(),
    cluster: () => {
      const state = view.cached();
      const isOurs = state.readAtMs !== 0 && isFirstAlive(state, self.id);
      return isOurs && kvdb.status().available ? state : undefined;
    },
    take: async ({ volumeId, kind, slot, name }: DueSnapshot) => {
      const labels = { [kindLabel]: kind, [slotLabel]: slot };
      const request = { volume_id_or_name: volumeId, name, labels };
      await api().CreateSnapshot(request, { timeoutMs: takeTimeoutMs });
      await volumes.update(volumeId, (current) => {
        const before = current.scheduledSlots?.[kind] ?? '';
        if (before >= slot) return undefined;
        return { ...current, scheduledSlots: { ...current.scheduledSlots, [kind]: slot } };
      });
    },
    remove: async (snapshotId) => {
      await api().DeleteVolume({ id_or_name: snapshotId }, { timeoutMs: removeTimeoutMs });
    },
  });
}
