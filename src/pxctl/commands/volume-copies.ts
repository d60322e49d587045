import type { Command } from 'commander';
import { gatherLabels, type Actions } from '../action.js';
import { show } from '../context.js';
import { writeBack } from '../host/volume-mounts.js';
import { volumeJson } from '../output/volume-json.js';
import { parseSizeBytes } from '../sizes.js';
import { listVolumes, showVolumes } from './volume-lists.js';

interface CopyFlags {
  readonly name: string;
  readonly label?: Record<string, string>;
  readonly size?: string;
}

export function addSnapshot(volume: Command, actions: Actions): void {
  const snapshot = volume.command('snapshot').alias('s').description('read-only copies');

  const create = snapshot
    .command('create')
    .alias('c')
    .description('one moment of the volume, the same on every replica')
    .argument('<volume>', 'id or name')
    .requiredOption('--name <name>', 'name of the snapshot')
    .option('-l, --label <name=value,...>', 'labels of the snapshot', gatherLabels);
  actions.on<CopyFlags>(create, async (context, [source = ''], flags) => {
    const volume = await context.px.GetVolume({ id_or_name: source });
    await writeBack(context, volume);
    const made = await context.px.CreateSnapshot(
      { volume_id_or_name: volume.id, name: flags.name, labels: flags.label ?? {} },
      { timeoutMs: context.longTimeoutMs },
    );
    show(
      context,
      () => [volumeJson(made)],
      () => `Volume snap successful: ${made.id}`,
    );
  });

  const list = snapshot
    .command('list')
    .alias('l')
    .description('snapshots of one volume, or all')
    .argument('[volume]', 'id or name');
  actions.on(list, async (context, [source]) => {
    // A name is good to ask for; what the snapshots hold is the id.
    const parent =
      source === undefined ? '' : (await context.px.GetVolume({ id_or_name: source })).id;
    await showVolumes(
      context,
      await listVolumes(context, { only_snapshots: true, parent_id: parent }),
    );
  });
  addClone(snapshot, actions);
  addRestore(snapshot, actions);
}

export function addRestore(parent: Command, actions: Actions): void {
  const restore = parent
    .command('restore')
    .alias('r')
    .description('put the content of a snapshot back into its (detached) volume')
    .argument('<volume>', 'id or name')
    .requiredOption('--snapshot <snapshot>', 'id or name');
  actions.on<{ snapshot: string }>(restore, async (context, [target = ''], flags) => {
    const restored = await context.px.RestoreSnapshot(
      { volume_id_or_name: target, snapshot_id_or_name: flags.snapshot },
      { timeoutMs: context.longTimeoutMs },
    );
    show(
      context,
      () => [volumeJson(restored)],
      () => `Successfully restored: ${restored.name} has the content of ${flags.snapshot}.`,
    );
  });
}

export function addClone(parent: Command, actions: Actions): void {
  const clone = parent
    .command('clone')
    .description('a writable copy of a volume or snapshot')
    .argument('<source>', 'id or name')
    .requiredOption('--name <name>', 'name of the clone')
    .option('-s, --size <size>', 'a larger size in GiB, or with a unit')
    .option('-l, --label <name=value,...>', 'labels beside those of the source', gatherLabels);
  actions.on<CopyFlags>(clone, async (context, [source = ''], flags) => {
    const sizeBytes = flags.size === undefined ? 0 : parseSizeBytes('--size', flags.size);
    const volume = await context.px.GetVolume({ id_or_name: source });
    await writeBack(context, volume);
    const made = await context.px.CloneVolume(
      {
        source_id_or_name: volume.id,
        name: flags.name,
        labels: flags.label ?? {},
        size_bytes: String(sizeBytes),
      },
      { timeoutMs: context.longTimeoutMs },
    );
    show(
      context,
      () => [volumeJson(made)],
      () => `Volume clone successful: ${made.id}`,
    );
  });
}
