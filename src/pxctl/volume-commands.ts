import type { Command } from 'commander';
import { PxError } from '../kernel/errors.js';
import type { NodeApi } from '../platform/grpc-client.js';
import type { VolumeSpec } from '../gen/px/v1/VolumeSpec.js';
import { longTimeoutMs, printJson, type PxctlContext } from './context.js';
import { parseLabels, parseList, parseSize, showBytes, table } from './format.js';
import { volumeJson } from './volume-json.js';
import { volumeDetails, volumeTable } from './volume-text.js';

const createTimeoutMs = 120_000;

interface CreateOptions {
  size: string;
  repl: string;
  fs: string;
  block_size?: string;
  io_priority: string;
  io_profile?: string;
  nodes?: string;
  zones?: string;
  racks?: string;
  regions?: string;
  group?: string;
  fg?: boolean;
  label?: string;
  sticky?: boolean;
  best_effort_location?: boolean;
  aggregation_level?: string;
  queue_depth?: string;
  nodiscard?: boolean;
}

/** Options of features that come later: refused with a clear word, never taken and ignored. */
const laterOptions = [
  ['--shared', 'shared volumes'],
  ['--sharedv4', 'shared volumes'],
  ['--secure', 'encryption'],
  ['--secret_key <name>', 'encryption'],
  ['-p, --periodic <minutes>', 'snapshot schedules'],
  ['-d, --daily <time>', 'snapshot schedules'],
  ['-w, --weekly <time>', 'snapshot schedules'],
  ['-m, --monthly <time>', 'snapshot schedules'],
  ['--storagepolicy <name>', 'storage policies'],
  ['--max_iops <read,write>', 'limits on I/O'],
  ['--max_bandwidth <read,write>', 'limits on I/O'],
] as const;

export function addVolumeCommands(program: Command, context: PxctlContext): void {
  const volume = program.command('volume').alias('v').description('volumes');
  addCreate(volume, context);
  addReads(volume, context);
  volume
    .command('delete <volume>')
    .alias('d')
    .description('delete a volume or snapshot; its snapshots and clones stay')
    .option('-f, --force', 'accepted for scripts; nothing is asked anyway')
    .action(async (name: string) => {
      // The API lets a deletion of nothing succeed; a person who mistypes wants to know.
      const found = await context.api().GetVolume({ id_or_name: name });
      await context.api().DeleteVolume({ id_or_name: found.id }, { timeoutMs: createTimeoutMs });
      report(context, `Volume ${name} successfully deleted.`, { id: found.id });
    });
  volume
    .command('resize <volume>')
    .description('grow a volume, also while it is attached')
    .requiredOption('-s, --size <size>', 'the new size, in GiB unless a suffix says otherwise')
    .action(async (name: string, options: { size: string }) => resize(context, name, options.size));
  volume
    .command('update <volume>')
    .description('change a volume')
    .option('-s, --size <size>', 'the new size, in GiB unless a suffix says otherwise')
    .action(async (name: string, options: { size?: string }) => {
      if (options.size === undefined) {
        throw new PxError('invalid_argument', 'nothing to update: give --size');
      }
      await resize(context, name, options.size);
    });
  volume
    .command('check <volume>')
    .description('compare the contents of the replicas by hash')
    .action((name: string) => check(context, name));
  volume
    .command('clone <source>')
    .description('make a writable volume from a volume or snapshot')
    .requiredOption('--name <name>', 'the name of the clone')
    .option('--label <pairs>', 'labels, key=value,…')
    .option('-s, --size <size>', 'a larger size')
    .action(async (source: string, options: { name: string; label?: string; size?: string }) => {
      const clone = await context.api().CloneVolume(
        {
          source_id_or_name: source,
          name: options.name,
          labels: parseLabels(options.label),
          size_bytes: options.size === undefined ? 0 : parseSize(options.size, '--size'),
        },
        { timeoutMs: longTimeoutMs },
      );
      report(context, `Volume clone successful: ${clone.id}`, { id: clone.id });
    });
  addSnapshotCommands(volume, context);
}

function addCreate(volume: Command, context: PxctlContext): void {
  const create = volume
    .command('create <name>')
    .alias('c')
    .description('create a volume')
    .option('-s, --size <size>', 'size, in GiB unless a suffix says otherwise', '1')
    .option('-r, --repl <count>', 'number of replicas, 1 to 5', '1')
    .option('--fs <type>', 'ext4, xfs or none', 'ext4')
    .option('-b, --block_size <bytes>', 'logical block of the device: 4096 or 512')
    .option('--io_priority <class>', 'high, medium or low', 'low')
    .option('--io_profile <profile>', 'auto, db, sequential, …')
    .option('--nodes <list>', 'nodes for the replicas')
    .option('--zones <list>', 'zones for the replicas')
    .option('--racks <list>', 'racks for the replicas')
    .option('--regions <list>', 'regions for the replicas')
    .option('--best_effort_location', 'succeed even if the location can not be met')
    .option('--group <name>', "spread the group's replicas over different nodes")
    .option('--fg', 'enforce the group strictly')
    .option('-a, --aggregation_level <count>', 'stripe over replica sets (1)')
    .option('--queue_depth <count>', 'requests in flight, 1 to 256')
    .option('--nodiscard', 'ignore discards')
    .option('--label <pairs>', 'labels, key=value,…')
    .option('--sticky', 'can not be deleted until cleared');
  for (const [flags, feature] of laterOptions) {
    create.option(flags, `(not there yet: ${feature})`);
  }
  create.action(async (name: string, options: CreateOptions) => {
    refuseLater(create);
    const created = await context
      .api()
      .CreateVolume({ name, spec: specOf(options) }, { timeoutMs: createTimeoutMs });
    report(context, `Volume successfully created: ${created.id}`, { id: created.id });
  });
}

function refuseLater(create: Command): void {
  for (const [flags, feature] of laterOptions) {
    const name = /--([a-z0-9_]+)/.exec(flags)?.[1] ?? '';
    if (create.getOptionValueSource(name) !== 'cli') continue;
    throw new PxError('unimplemented', `--${name}: not there yet (${feature})`);
  }
}

function specOf(options: CreateOptions): VolumeSpec {
  const number = (text: string | undefined, option: string): number | undefined => {
    if (text === undefined) return undefined;
    if (/^\d+$/.test(text)) return Number(text);
    throw new PxError('invalid_argument', `--${option} "${text}": give a whole number`);
  };
  return {
    size_bytes: parseSize(options.size, '--size'),
    replicas: number(options.repl, 'repl'),
    fs: options.fs,
    block_size_bytes: number(options.block_size, 'block_size'),
    io_priority: options.io_priority,
    io_profile: options.io_profile,
    nodes: parseList(options.nodes),
    zones: parseList(options.zones),
    racks: parseList(options.racks),
    regions: parseList(options.regions),
    best_effort_location: options.best_effort_location === true,
    group: options.group,
    group_enforced: options.fg === true,
    sticky: options.sticky === true,
    no_discard: options.nodiscard === true,
    aggregation_level: number(options.aggregation_level, 'aggregation_level'),
    queue_depth: number(options.queue_depth, 'queue_depth'),
    labels: parseLabels(options.label),
  };
}

function addReads(volume: Command, context: PxctlContext): void {
  volume
    .command('list')
    .alias('l')
    .description('list volumes')
    .option('-s, --snapshot', 'snapshots only')
    .option('-a, --all', 'volumes and snapshots')
    .action(async (options: { snapshot?: boolean; all?: boolean }) => {
      const { volumes } = await context.api().ListVolumes({
        only_snapshots: options.snapshot === true,
        no_snapshots: options.snapshot !== true && options.all !== true,
      });
      if (context.json()) return printJson(context, volumes.map(volumeJson));
      context.print(volumeTable(volumes, await nodeNames(context.api())));
    });
  volume
    .command('inspect <volumes...>')
    .alias('i')
    .description('all about volumes')
    .action(async (names: string[]) => {
      const found = [];
      for (const name of names) found.push(await context.api().GetVolume({ id_or_name: name }));
      if (context.json()) return printJson(context, found.map(volumeJson));
      const nodes = await nodeNames(context.api());
      context.print(found.map((one) => volumeDetails(one, nodes)).join('\n\n'));
    });
}

function addSnapshotCommands(volume: Command, context: PxctlContext): void {
  const snapshot = volume.command('snapshot').alias('s').description('snapshots of volumes');
  snapshot
    .command('create <volume>')
    .alias('c')
    .description('take a snapshot')
    .requiredOption('--name <name>', 'the name of the snapshot')
    .option('--label <pairs>', 'labels, key=value,…')
    .action(async (name: string, options: { name: string; label?: string }) => {
      const request = {
        volume_id_or_name: name,
        name: options.name,
        labels: parseLabels(options.label),
      };
      const made = await context.api().CreateSnapshot(request, { timeoutMs: longTimeoutMs });
      report(context, `Volume snap successful: ${made.id}`, { id: made.id });
    });
  snapshot
    .command('list [volume]')
    .alias('l')
    .description('list snapshots')
    .action(async (name?: string) => {
      const parent =
        name === undefined ? '' : (await context.api().GetVolume({ id_or_name: name })).id;
      const { volumes } = await context
        .api()
        .ListVolumes({ only_snapshots: true, parent_id: parent });
      if (context.json()) return printJson(context, volumes.map(volumeJson));
      context.print(volumeTable(volumes, await nodeNames(context.api())));
    });
  const restore = async (name: string, options: { snapshot: string }): Promise<void> => {
    const request = { volume_id_or_name: name, snapshot_id_or_name: options.snapshot };
    const restored = await context.api().RestoreSnapshot(request, { timeoutMs: longTimeoutMs });
    report(context, `Successfully restored volume ${name}.`, { id: restored.id });
  };
  for (const parent of [snapshot, volume]) {
    parent
      .command('restore <volume>')
      .description("put a snapshot's content back into its detached volume")
      .requiredOption('-s, --snapshot <name>', 'the snapshot')
      .action(restore);
  }
}

async function resize(context: PxctlContext, name: string, size: string): Promise<void> {
  const grown = await context
    .api()
    .ResizeVolume(
      { id_or_name: name, size_bytes: parseSize(size, '--size') },
      { timeoutMs: createTimeoutMs },
    );
  const now = showBytes(grown.spec?.size_bytes ?? 0);
  report(context, `Volume ${name} resized to ${now}.`, { id: grown.id });
}

async function check(context: PxctlContext, name: string): Promise<void> {
  const result = await context
    .api()
    .CheckVolume({ id_or_name: name }, { timeoutMs: longTimeoutMs });
  if (context.json()) printJson(context, result);
  else {
    const count = result.replicas_compared.length;
    context.print(
      result.equal
        ? `Volume ${name}: ${count} replica(s) are equal (${showBytes(result.bytes_compared)} compared).`
        : `Volume ${name}: the replicas differ at`,
    );
    if (!result.equal) {
      const rows = result.differences.map((difference) => [
        difference.offset_bytes,
        difference.length_bytes,
        difference.digests.map((digest) => digest.slice(0, 12)).join(' '),
      ]);
      context.print(
        table(['OFFSET', 'LENGTH', `DIGESTS (${result.replicas_compared.join(' ')})`], rows),
      );
    }
  }
  if (!result.equal) throw new PxError('io_error', `the replicas of ${name} differ`);
}

/** Names instead of ids in tables; a table without them is better than none. */
async function nodeNames(api: NodeApi): Promise<Map<string, string>> {
  try {
    const { nodes } = await api.ListNodes({});
    return new Map(nodes.map((node) => [node.id, node.name]));
  } catch {
    return new Map();
  }
}

function report(context: PxctlContext, text: string, json: Record<string, string>): void {
  if (context.json()) printJson(context, { status: 'success', desc: text, ...json });
  else context.print(text);
}
