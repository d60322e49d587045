import { resources } from '../../crds/resources.js';
import type { StorageNode } from '../../crds/storage-node.js';
import { toPxError } from '../../kernel/errors.js';
import { nodeLabels } from '../names.js';
import type { OperatorContext } from '../ports.js';
import {
  planDrain,
  progressOf,
  refusedProgress,
  type DrainAction,
  type DrainInput,
  type MoveAnswer,
  type NodeProgress,
} from './plan-drain.js';

const callTimeoutMs = 15_000;

export interface DrainOutcome {
  readonly progress: NodeProgress;
  /** Something is at work: look again soon. */
  readonly busy: boolean;
}

/** Does what a StorageNode's annotations ask for next. */
export async function drainNode(
  context: OperatorContext,
  nodeName: string,
  input: DrainInput,
): Promise<DrainOutcome> {
  const actions = planDrain(input);
  let answer: MoveAnswer | undefined;
  try {
    for (const action of actions) {
      context.logger.debug('a node is changed as its annotations ask', {
        node: nodeName,
        ...action,
      });
      answer = (await act(context, nodeName, input.px?.id ?? '', action)) ?? answer;
    }
  } catch (thrown) {
    const { code, message } = toPxError(thrown);
    context.logger.warn('px refuses what annotations ask for', { node: nodeName, code, message });
    return { progress: refusedProgress(input, message), busy: true };
  }
  return { progress: progressOf(input, answer), busy: actions.length > 0 };
}

async function act(
  { px, kube }: OperatorContext,
  nodeName: string,
  pxId: string,
  action: DrainAction,
): Promise<MoveAnswer | undefined> {
  const bound = { timeoutMs: callTimeoutMs };
  const node = { node_id: pxId };
  switch (action.kind) {
    case 'maintenance':
      await (await px.any()).SetMaintenance({ ...node, enter: action.enter }, bound);
      return undefined;
    case 'move': {
      const request = { ...node, keep_node: !action.forget };
      const answer = await (await px.any()).DecommissionNode(request, bound);
      const { state, replicas_left: replicasLeft, reasons } = answer;
      return { state, replicasLeft, reasons };
    }
    case 'cancel':
      await (await px.any()).CancelDecommission(node, bound);
      return undefined;
    case 'label':
    case 'unlabel': {
      const value = action.kind === 'label' ? 'true' : null;
      const patch = { metadata: { labels: { [nodeLabels.decommissioned]: value } } };
      await kube.patch(resources.node, { name: nodeName }, patch);
      return undefined;
    }
  }
}

/** Events on the StorageNode when the progress is another one than before. */
export function noteProgress(
  context: OperatorContext,
  node: StorageNode,
  progress: NodeProgress,
): void {
  const before = node.status?.decommission?.state;
  const { decommission: now } = progress;
  if (now?.state === before) return;
  const message = now?.message ?? '';
  const note = (type: 'Normal' | 'Warning', reason: string, text: string): void =>
    context.events.note(node, { type, reason, message: text });
  switch (now?.state) {
    case undefined:
      return note('Normal', 'DrainCancelled', 'Replicas may be placed on the node again.');
    case 'Moving':
      return note('Normal', 'DrainStarted', `Replicas are moved to other nodes: ${message}.`);
    case 'Refused':
      return note('Warning', 'DrainBlocked', `Replicas can't be moved now: ${message}.`);
    case 'Done':
      return note('Normal', 'DrainDone', 'No replica is left on the node.');
  }
}
