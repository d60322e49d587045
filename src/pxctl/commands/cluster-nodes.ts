import type { Command } from 'commander';
import type { DecommissionNodeResponse__Output } from '../../gen/px/v1/DecommissionNodeResponse.js';
import type { Actions } from '../action.js';
import { show, type CommandContext } from '../context.js';
import { exitCodes, type ExitCode } from '../exit-codes.js';

interface LeaveFlags {
  readonly cancel?: boolean;
  readonly force?: boolean;
  readonly wait?: boolean;
}

const pollMs = 2_000;

/** Removal and draining of nodes: both move replicas, and only one forgets the node. */
export function addNodeRemoval(cluster: Command, actions: Actions): void {
  const remove = cluster
    .command('delete')
    .description('move all replicas off a node, which may be dead, and forget it')
    .argument('<node>', 'id or name')
    .option('-f, --force', 'end what is attached there, also while the node is alive')
    .option('--wait', 'until it is done, or blocked')
    .option('--cancel', 'end a removal that is not done; what was moved stays moved');
  actions.on<LeaveFlags>(remove, (context, [node = ''], flags) =>
    leave(context, node, { ...flags, keep: false }),
  );

  const drain = cluster
    .command('drain')
    .description('move all replicas off a node and place nothing there; it stays a member')
    .argument('<node>', 'id or name')
    .option('--wait', 'until it is done, or blocked')
    .option('--cancel', 'let replicas be placed there again');
  actions.on<LeaveFlags>(drain, (context, [node = ''], flags) =>
    leave(context, node, { ...flags, keep: true }),
  );
}

async function leave(
  context: CommandContext,
  node: string,
  { keep, cancel, force, wait }: LeaveFlags & { readonly keep: boolean },
): Promise<ExitCode | void> {
  const { px } = context;
  if (cancel === true) {
    const status = await px.CancelDecommission({ node_id: node });
    show(
      context,
      () => status,
      () => `Replicas may be placed on ${status.name} again.`,
    );
    return;
  }
  if (force === true) await px.FenceNode({ node_id: node, force: true });
  let answer = await px.DecommissionNode({ node_id: node, keep_node: keep });
  while (wait === true && answer.state === 'moving') {
    await new Promise((resolve) => setTimeout(resolve, pollMs));
    answer = await px.DecommissionNode({ node_id: node, keep_node: keep });
  }
  show(
    context,
    () => answer,
    () => progressText(node, keep, answer),
  );
  return answer.state === 'blocked' ? exitCodes.conflict : exitCodes.ok;
}

function progressText(
  node: string,
  keep: boolean,
  { state, replicas_left: left, reasons }: DecommissionNodeResponse__Output,
): string {
  const done = keep ? `Node ${node} holds no replicas any more.` : `Node ${node} was removed.`;
  if (state === 'done') return done;
  const head =
    state === 'blocked'
      ? `Node ${node} can not be emptied: ${left} replica(s) are left.`
      : `Node ${node} is being emptied: ${left} replica(s) are left. The same command again shows the progress.`;
  return [head, ...reasons.map((reason) => `  ${reason}`)].join('\n');
}
