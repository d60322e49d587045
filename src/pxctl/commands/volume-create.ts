import type { Command } from 'commander';
import type { VolumeSpec } from '../../gen/px/v1/VolumeSpec.js';
import { gatherLabels, parseNames, refuseFlags, type Actions } from '../action.js';
import { show } from '../context.js';
import { usageError } from '../errors.js';
import { volumeJson } from '../output/volume-json.js';
import {
  limitsOf,
  scheduleText,
  withLimitFlags,
  withScheduleFlags,
  type LimitFlags,
  type ScheduleFlags,
} from '../policy-flags.js';
import { parseSizeBytes } from '../sizes.js';

export interface CreateFlags extends ScheduleFlags, LimitFlags {
  readonly size: string;
  readonly repl?: string;
  readonly fs: string;
  readonly block_size: string;
  readonly io_priority?: string;
  readonly io_profile?: string;
  readonly storagepolicy?: string;
  readonly queue_depth?: string;
  readonly aggregation_level: string;
  readonly nodes?: string[];
  readonly zones?: string[];
  readonly racks?: string[];
  readonly regions?: string[];
  readonly best_effort_location_provisioning?: boolean;
  readonly group?: string;
  readonly fg?: boolean;
  readonly nodiscard?: boolean;
  readonly sticky?: boolean;
  readonly label?: Record<string, string>;
}

/** Sharing, encryption and what else is not there: named, so that nobody thinks they work. */
const laterFlags = [
  ['--shared', 'shared volumes'],
  ['--sharedv4', 'shared volumes'],
  ['--secure', 'encryption'],
  ['--secret_key', 'encryption'],
  ['--policy', 'named snapshot schedules (see --storagepolicy)'],
  ['--journal', 'journal devices'],
  ['--scale', 'scaled volumes'],
] as const;

/** mkfs.xfs makes none on less, and would say so only at the first mount. */
const leastXfsBytes = 300 * 1024 ** 2;

export function addVolumeCreate(volume: Command, actions: Actions): void {
  const create = volume
    .command('create')
    .alias('c')
    .description('create a volume; one that exists and is the same is success')
    .argument('<name>', 'name of the volume')
    .option('-s, --size <size>', 'size in GiB, or with a unit as in 512M or 1.5T', '1')
    .option('-r, --repl <count>', 'number of replicas, 1 to 5 (default: 1)')
    .option('--fs <type>', 'ext4, xfs or none (raw block)', 'ext4')
    .option('-b, --block_size <bytes>', 'logical block size of the device: 512 or 4096', '4096')
    .option('--io_priority <class>', 'class of pool: high, medium or low (default: low)')
    .option('--io_profile <profile>', 'auto or none (default: auto)')
    .option('--queue_depth <count>', 'requests at a time, 1 to 256 (default: 128)')
    .option('-a, --aggregation_level <level>', '1 or auto: a volume is not striped', '1')
    .option('--nodes <list>', 'only on these nodes (ids or names, joined by commas)', parseNames)
    .option('--zones <list>', 'only in these zones', parseNames)
    .option('--racks <list>', 'only in these racks', parseNames)
    .option('--regions <list>', 'only in these regions', parseNames)
    .option('--best_effort_location_provisioning', 'elsewhere rather than not at all')
    .option('--group <name>', 'keep the replicas of the group on different nodes')
    .option('--fg', 'fail when the group cannot be kept apart')
    .option('--nodiscard', 'mount without discard')
    .option('--sticky', 'not to be deleted until "volume update --sticky off"')
    .option('--storagepolicy <name>', 'the storage policy (default: the default one)')
    .option('-l, --label <name=value,...>', 'labels of the volume', gatherLabels);
  withLimitFlags(withScheduleFlags(create));
  refuseFlags(create, laterFlags);
  actions.on<CreateFlags>(create, async (context, [name = ''], flags) => {
    const spec = volumeSpec(flags);
    const created = await context.px.CreateVolume(
      { name, spec },
      { timeoutMs: context.longTimeoutMs },
    );
    show(
      context,
      () => [volumeJson(created)],
      () => `Volume successfully created: ${created.id}`,
    );
  });
}

export function volumeSpec(flags: CreateFlags): VolumeSpec {
  const { group, fg } = flags;
  if (fg === true && group === undefined) throw usageError('--fg needs --group');
  const sizeBytes = parseSizeBytes('--size', flags.size);
  const fs = choice('--fs', flags.fs, ['ext4', 'xfs', 'none']);
  if (fs === 'xfs' && sizeBytes < leastXfsBytes) {
    throw usageError(`--size "${flags.size}" is too small for xfs, which needs 300M`);
  }
  return {
    size_bytes: String(sizeBytes),
    // What is left open a storage policy may fill in; else px-node's defaults count.
    replicas: flags.repl === undefined ? 0 : integer('--repl', flags.repl, 1, 5),
    fs,
    block_size_bytes: blockSize(flags.block_size),
    io_priority: flags.io_priority === undefined ? '' : parsePriority(flags.io_priority),
    io_profile:
      flags.io_profile === undefined
        ? ''
        : choice('--io_profile', flags.io_profile, ['auto', 'none']),
    storage_policy: flags.storagepolicy ?? '',
    snapshot_schedule: scheduleText(flags) ?? '',
    ...limitsOf(flags),
    aggregation_level: aggregation(flags.aggregation_level),
    nodes: flags.nodes ?? [],
    zones: flags.zones ?? [],
    racks: flags.racks ?? [],
    regions: flags.regions ?? [],
    best_effort_location: flags.best_effort_location_provisioning === true,
    group: group ?? '',
    group_enforced: fg === true,
    no_discard: flags.nodiscard === true,
    sticky: flags.sticky === true,
    queue_depth: integer('--queue_depth', flags.queue_depth ?? '128', 1, 256),
    labels: flags.label ?? {},
  };
}

function integer(flag: string, text: string, least: number, most: number): number {
  const value = Number(text);
  if (/^\d+$/.test(text) && value >= least && value <= most) return value;
  throw usageError(`${flag} "${text}": allowed are ${least} to ${most}`);
}

function choice(flag: string, text: string, allowed: readonly string[]): string {
  const found = allowed.find((value) => value === text.toLowerCase());
  if (found !== undefined) return found;
  throw usageError(`${flag} "${text}": allowed are ${allowed.join(', ')}`);
}

export function parsePriority(text: string): string {
  const byNumber: Readonly<Record<string, string>> = { '1': 'low', '2': 'medium', '3': 'high' };
  return choice('--io_priority', byNumber[text] ?? text, ['high', 'medium', 'low']);
}

function aggregation(text: string): number {
  choice('--aggregation_level', text, ['1', 'auto']);
  return 1;
}

/** A bare number is bytes here, unlike that of a size. */
function blockSize(text: string): number {
  const bytes = /^\d+$/.test(text) ? Number(text) : parseSizeBytes('--block_size', text);
  if (bytes === 512 || bytes === 4096) return bytes;
  throw usageError(`--block_size "${text}": allowed are 512 and 4096 (4k)`);
}
