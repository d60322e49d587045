import type { Command } from 'commander';
import type { UpdateVolumeRequest } from '../../gen/px/v1/UpdateVolumeRequest.js';
import type { Volume__Output } from '../../gen/px/v1/Volume.js';
import { gatherLabels, refuseFlags, type Actions } from '../action.js';
import { show, type CommandContext } from '../context.js';
import { usageError } from '../errors.js';
import { growMountedFilesystem } from '../host/volume-mounts.js';
import { volumeJson } from '../output/volume-json.js';
import {
  limitsOf,
  scheduleText,
  withLimitFlags,
  withScheduleFlags,
  type LimitFlags,
  type ScheduleFlags,
} from '../policy-flags.js';
import { formatVolumeSize, parseSizeBytes } from '../sizes.js';
import { parsePriority } from './volume-create.js';

const sizeOption = ['-s, --size <size>', 'the new size in GiB, or with a unit as in 512M'] as const;

export function addResize(volume: Command, actions: Actions): void {
  const resize = volume
    .command('resize')
    .description('grow a volume, also while it is in use; its file system too if mounted here')
    .argument('<volume>', 'id or name')
    .requiredOption(...sizeOption);
  actions.on<{ size: string }>(resize, async (context, [wanted = ''], flags) => {
    showSize(context, await grow(context, wanted, parseSizeBytes('--size', flags.size)));
  });
}

interface UpdateFlags extends ScheduleFlags, LimitFlags {
  readonly storagepolicy?: string;
  readonly io_priority?: string;
  readonly size?: string;
  readonly sticky?: string;
  readonly label?: Record<string, string>;
}

export function addUpdate(volume: Command, actions: Actions): void {
  const update = volume
    .command('update')
    .alias('u')
    .description('change a volume, also while it is in use')
    .argument('<volume>', 'id or name')
    .option(...sizeOption)
    .option('--sticky <on|off>', 'whether the volume cannot be deleted')
    .option('--storagepolicy <name>', 'the storage policy; an empty name is the default one')
    .option('--io_priority <class>', 'class of pool; replicas move there where they can')
    .option('-l, --label <name=value,...>', 'labels to set; an empty value removes', gatherLabels);
  withLimitFlags(withScheduleFlags(update));
  refuseFlags(update, [
    ['--shared', 'shared volumes'],
    ['--sharedv4', 'shared volumes'],
  ]);
  actions.on<UpdateFlags>(update, async (context, [wanted = ''], flags) => {
    const { size, label } = flags;
    const sizeBytes = size === undefined ? undefined : parseSizeBytes('--size', size);
    const changes = recordChanges(flags);
    const changesRecord = Object.keys(changes).length > 0 || label !== undefined;
    if (sizeBytes === undefined && !changesRecord) {
      throw usageError('nothing to change: give --size, --sticky, --label or another option');
    }
    // The growth first: when it is refused, nothing was changed.
    if (sizeBytes !== undefined) {
      const grown = await grow(context, wanted, sizeBytes);
      if (!changesRecord) return showSize(context, grown);
    }
    const updated = await context.px.UpdateVolume({
      id_or_name: wanted,
      ...changes,
      ...labelChanges(label ?? {}),
    });
    show(
      context,
      () => [volumeJson(updated)],
      () => `Volume ${updated.name} successfully updated.`,
    );
  });
}

function recordChanges(flags: UpdateFlags): Omit<UpdateVolumeRequest, 'id_or_name'> {
  const { sticky, storagepolicy, io_priority } = flags;
  const schedule = scheduleText(flags);
  return {
    ...(sticky === undefined ? {} : { sticky: onOrOff('--sticky', sticky) }),
    ...(storagepolicy === undefined ? {} : { storage_policy: storagepolicy }),
    ...(io_priority === undefined ? {} : { io_priority: parsePriority(io_priority) }),
    ...(schedule === undefined ? {} : { snapshot_schedule: schedule }),
    ...limitsOf(flags),
  };
}

function labelChanges(labels: Readonly<Record<string, string>>): {
  set_labels: Record<string, string>;
  remove_labels: string[];
} {
  const entries = Object.entries(labels);
  return {
    set_labels: Object.fromEntries(entries.filter(([, value]) => value !== '')),
    remove_labels: entries.filter(([, value]) => value === '').map(([name]) => name),
  };
}

export function onOrOff(flag: string, text: string): boolean {
  const word = text.toLowerCase();
  if (word === 'on' || word === 'off') return word === 'on';
  throw usageError(`${flag} "${text}": allowed are on, off`);
}

async function grow(
  context: CommandContext,
  wanted: string,
  sizeBytes: number,
): Promise<Volume__Output> {
  const resized = await context.px.ResizeVolume(
    { id_or_name: wanted, size_bytes: String(sizeBytes) },
    { timeoutMs: context.longTimeoutMs },
  );
  await growMountedFilesystem(context, resized);
  return resized;
}

function showSize(context: CommandContext, resized: Volume__Output): void {
  show(
    context,
    () => [volumeJson(resized)],
    () => `Volume ${resized.name} has ${formatVolumeSize(resized.spec?.size_bytes)}.`,
  );
}
