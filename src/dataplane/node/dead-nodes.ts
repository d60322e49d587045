import { toPxError } from '../../kernel/errors.js';
import { delay, monotonicMs } from '../../platform/monotonic.js';
import { nodeTtlMs } from '../cluster/node-registry.js';
import type { NodeContext } from './context.js';
import { forwarded } from './peers.js';

const probeTimeoutMs = 1_500;
const pollMs = 250;

/**
 * A node that died a moment ago still counts as alive until its lease ends.
 * One that does not answer is waited for that long, so that whoever takes over
 * from it need not try again; one that answers is alive, and no time is lost.
 */
export async function waitForDead(context: NodeContext, nodeIds: readonly string[]): Promise<void> {
  const untilMs = monotonicMs() + nodeTtlMs * 1.5;
  for (const nodeId of new Set(nodeIds)) {
    if (nodeId === '' || nodeId === context.self.id) continue;
    for (;;) {
      const state = await context.view.fresh();
      if (!state.alive.has(nodeId) || monotonicMs() > untilMs) break;
      if (await answers(context, nodeId)) break;
      await delay(pollMs);
    }
  }
}

async function answers(context: NodeContext, nodeId: string): Promise<boolean> {
  try {
    await context.peers
      .api(nodeId)
      .GetStatus({}, { timeoutMs: probeTimeoutMs, metadata: forwarded });
    return true;
  } catch (thrown) {
    const { code } = toPxError(thrown);
    return code !== 'unavailable' && code !== 'deadline_exceeded';
  }
}
