import type { Command } from 'commander';
import type { Volume__Output } from '../../gen/px/v1/Volume.js';
import { parseNames, refuseFlags, type Actions } from '../action.js';
import { show } from '../context.js';
import { usageError } from '../errors.js';
import { describeChange, resyncProgress, type NodeNames } from '../output/volume-text.js';
import { volumeJson } from '../output/volume-json.js';
import { namesOfNodes } from './volume-lists.js';

interface HaUpdateFlags {
  readonly repl?: string;
  readonly node?: readonly string[];
  readonly removeNode?: readonly string[];
  readonly cancel?: boolean;
}

export function addHaUpdate(volume: Command, actions: Actions): void {
  const update = volume
    .command('ha-update')
    .description('change how many replicas a volume has, and where; also while it is in use')
    .argument('<volume>', 'id or name')
    .option('-r, --repl <n>', 'the number of replicas, 1 to 5; as many as now when left out')
    .option('--node <node,...>', 'nodes that are to hold a replica', parseNames)
    .option('--remove-node <node,...>', 'nodes that are no longer to hold one', parseNames)
    .option('--cancel', 'give up the change at work; what was filled stays');
  refuseFlags(update, [
    ['--zones', 'choice of zones for a change (name nodes)'],
    ['--racks', 'choice of racks for a change (name nodes)'],
  ]);
  actions.on<HaUpdateFlags>(update, async (context, [wanted = ''], flags) => {
    const { repl, node = [], removeNode = [], cancel = false } = flags;
    const asks = repl !== undefined || node.length + removeNode.length > 0;
    if (asks === cancel) {
      throw usageError('give --repl, --node or --remove-node, or --cancel alone');
    }
    const changed = await context.px.UpdateReplicas({
      id_or_name: wanted,
      count: repl === undefined ? 0 : parseCount(repl),
      add_nodes: [...node],
      remove_nodes: [...removeNode],
      cancel,
    });
    const names = await namesOfNodes(context);
    show(
      context,
      () => [volumeJson(changed)],
      () => changeText(changed, names),
    );
  });
}

function parseCount(text: string): number {
  const count = Number(text);
  if (Number.isInteger(count) && count >= 1 && count <= 5) return count;
  throw usageError(`--repl "${text}": allowed are 1 to 5`);
}

function changeText(volume: Volume__Output, names: NodeNames): string {
  const { replica_change: change } = volume;
  if (change === null) {
    return `Volume ${volume.name} has ${volume.replicas.length} replica(s) where they should be.`;
  }
  const filling = volume.replicas.map(resyncProgress).filter((text) => text !== '');
  const progress = filling.length === 0 ? '' : ` (${filling.join(', ')})`;
  return (
    `Volume ${volume.name}: ${describeChange(change, names)}${progress}\n` +
    `pxctl volume inspect ${volume.name} shows the progress.`
  );
}
