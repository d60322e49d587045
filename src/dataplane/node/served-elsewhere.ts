import { PxError } from '../../kernel/errors.js';
import { delay, monotonicMs } from '../../platform/monotonic.js';
import { nodeTtlMs } from '../cluster/node-registry.js';
import type { NodeContext } from './context.js';
import { isInternal } from './volume-view.js';

const pollMs = 250;

/**
 * Work on a volume's content needs its coordinator. One whose px-node is away
 * (its pod is replaced, say) goes on serving its pods, and to coordinate the
 * volume here would fence it: they would get I/O errors. It holds the lease of
 * our replica then (rule L1). The lease of one that died ends within seconds,
 * so it is waited for that long, and whoever asks need not try again.
 */
export async function refuseWhileServedElsewhere(
  context: Pick<NodeContext, 'self' | 'view' | 'engine'>,
  volumeId: string,
): Promise<void> {
  const untilMs = monotonicMs() + nodeTtlMs * 1.5;
  for (;;) {
    const state = await context.view.fresh();
    const record = state.volumes.get(volumeId);
    const holder = record?.attachedOn ?? '';
    if (record === undefined || holder === '' || holder === context.self.id) return;
    // Without reservation it was a node's own work, which another may take over.
    if (record.publishedOn === '' || isInternal(record, state)) return;
    const replicas = await context.engine.call('replica.list', {});
    if (replicas.find((replica) => replica.volumeId === volumeId)?.isLeased !== true) return;
    if (state.alive.has(holder) || monotonicMs() > untilMs) {
      const node = state.nodes.get(holder)?.name ?? holder;
      throw new PxError(
        'unavailable',
        `volume "${record.name}" is served by ${node}, whose px-node does not answer; try again`,
        { volumeId, attachedOn: holder },
      );
    }
    await delay(pollMs);
  }
}
