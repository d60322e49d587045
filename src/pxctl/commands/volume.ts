import type { Command } from 'commander';
import type { Volume__Output } from '../../gen/px/v1/Volume.js';
import { gatherLabels, refuseCommands, type Actions } from '../action.js';
import { show } from '../context.js';
import { volumeJson } from '../output/volume-json.js';
import { volumeText } from '../output/volume-text.js';
import { addVolumeCheck } from './volume-check.js';
import { addClone, addRestore, addSnapshot } from './volume-copies.js';
import { addVolumeCreate } from './volume-create.js';
import { addHaUpdate } from './volume-ha-update.js';
import { listVolumes, namesOfNodes, showVolumes } from './volume-lists.js';
import { addResize, addUpdate } from './volume-update.js';

export function addVolume(program: Command, actions: Actions): void {
  const volume = program.command('volume').alias('v').description('volumes and their copies');
  addVolumeCreate(volume, actions);
  addList(volume, actions);
  addInspect(volume, actions);
  addDelete(volume, actions);
  addResize(volume, actions);
  addUpdate(volume, actions);
  addHaUpdate(volume, actions);
  addVolumeCheck(volume, actions);
  addSnapshot(volume, actions);
  addClone(volume, actions);
  addRestore(volume, actions);
  refuseCommands(volume, {
    'separate statistics (see "pxctl volume inspect")': ['stats', 'usage'],
    'trimming on demand (use fstrim on the mount)': ['trim'],
    'location of files': ['locate'],
    'import of volumes': ['import'],
  });
}

interface ListFlags {
  readonly all?: boolean;
  readonly snapshot?: boolean;
  readonly name?: string;
  readonly label?: Record<string, string>;
}

function addList(volume: Command, actions: Actions): void {
  const list = volume
    .command('list')
    .alias('l')
    .description('volumes, without snapshots unless asked for')
    .option('-a, --all', 'snapshots too')
    .option('-s, --snapshot', 'only snapshots')
    .option('--name <name>', 'only the one of this name')
    .option('-l, --label <name=value,...>', 'only those with these labels', gatherLabels);
  actions.on<ListFlags>(list, async (context, _args, flags) => {
    const volumes = await listVolumes(context, {
      only_snapshots: flags.snapshot === true,
      no_snapshots: flags.snapshot !== true && flags.all !== true,
    });
    const chosen = volumes.filter((candidate) => isAsked(candidate, flags));
    await showVolumes(context, chosen);
  });
}

function isAsked(volume: Volume__Output, flags: ListFlags): boolean {
  if (flags.name !== undefined && volume.name !== flags.name) return false;
  const labels = volume.spec?.labels ?? {};
  return Object.entries(flags.label ?? {}).every(([name, value]) => labels[name] === value);
}

function addInspect(volume: Command, actions: Actions): void {
  const inspect = volume
    .command('inspect')
    .alias('i')
    .description('all that is known of volumes: replicas, resync, counters')
    .argument('<volume...>', 'ids or names');
  actions.on(inspect, async (context, wanted) => {
    const volumes: Volume__Output[] = [];
    for (const name of wanted) volumes.push(await context.px.GetVolume({ id_or_name: name }));
    const names = context.json ? new Map<string, string>() : await namesOfNodes(context);
    show(
      context,
      () => volumes.map(volumeJson),
      () => volumes.map((found) => volumeText(found, names)).join('\n\n'),
    );
  });
}

function addDelete(volume: Command, actions: Actions): void {
  const remove = volume
    .command('delete')
    .alias('d')
    .description('delete a volume or snapshot and all its data, without a question')
    .argument('<volume>', 'id or name');
  actions.on(remove, async (context, [wanted = '']) => {
    // The API calls the deletion of nothing a success; a person has mistyped.
    const { id, name } = await context.px.GetVolume({ id_or_name: wanted });
    await context.px.DeleteVolume({ id_or_name: id });
    show(
      context,
      () => ({ id, name, result: 'deleted' }),
      () => `Volume ${name} successfully deleted.`,
    );
  });
}
