import type { Command } from 'commander';
import { toPxError } from '../kernel/errors.js';
import { formatSchedule, parseSchedule } from '../kernel/snapshot-schedule.js';
import type { SnapshotSchedule } from '../kernel/storage-policy.js';
import { usageError } from './errors.js';

/** `-p 60,10 -d 12:00,4 -w sunday@12:00,2 -m 15@12:00`: as every command takes them. */
export interface ScheduleFlags {
  readonly periodic?: string;
  readonly daily?: string;
  readonly weekly?: string;
  readonly monthly?: string;
}

export interface LimitFlags {
  readonly max_iops?: string;
  readonly max_bandwidth?: string;
}

export interface Limits {
  max_read_iops?: string;
  max_write_iops?: string;
  max_read_bytes_per_second?: string;
  max_write_bytes_per_second?: string;
}

const kinds = ['periodic', 'daily', 'weekly', 'monthly'] as const;
const megabyte = 1024 * 1024;

export function withScheduleFlags(command: Command): Command {
  return command
    .option('-p, --periodic <minutes,keep>', 'snapshots every so many minutes')
    .option('-d, --daily <hh:mm,keep>', 'snapshots each day at that time, UTC')
    .option('-w, --weekly <day@hh:mm,keep>', 'snapshots each week')
    .option('-m, --monthly <date@hh:mm,keep>', 'snapshots each month');
}

export function withLimitFlags(command: Command): Command {
  return command
    .option('--max_iops <reads,writes>', 'requests a second; 0: no limit')
    .option('--max_bandwidth <reads,writes>', 'MB a second; 0: no limit');
}

/** Undefined when no flag speaks of a schedule; "off" or 0 leaves a kind out. */
export function scheduleOf(flags: ScheduleFlags): SnapshotSchedule | undefined {
  const given = kinds.filter((kind) => flags[kind] !== undefined);
  if (given.length === 0) return undefined;
  const parts = given
    .filter((kind) => !['off', '0'].includes(flags[kind] ?? ''))
    .map((kind) => `${kind}=${flags[kind]}`);
  try {
    return parseSchedule('schedule', parts.join(';'));
  } catch (thrown) {
    throw usageError(toPxError(thrown).message.replace(/^schedule: /, `--${given.join(', --')}: `));
  }
}

/** In the canonical text of the API. */
export function scheduleText(flags: ScheduleFlags): string | undefined {
  const schedule = scheduleOf(flags);
  return schedule === undefined ? undefined : formatSchedule(schedule);
}

/** What a limit of one kind takes the place of is set to 0, as both can't be. */
export function limitsOf(flags: LimitFlags): Limits {
  const iops = pair('--max_iops', flags.max_iops);
  const bandwidth = pair('--max_bandwidth', flags.max_bandwidth);
  if (iops !== undefined && bandwidth !== undefined) {
    for (const index of [0, 1] as const) {
      if (iops[index] > 0 && bandwidth[index] > 0) {
        throw usageError('--max_iops and --max_bandwidth limit the same direction; one must be 0');
      }
    }
  }
  return {
    ...(bandwidth?.[0] ? { max_read_iops: '0' } : {}),
    ...(bandwidth?.[1] ? { max_write_iops: '0' } : {}),
    ...(iops?.[0] ? { max_read_bytes_per_second: '0' } : {}),
    ...(iops?.[1] ? { max_write_bytes_per_second: '0' } : {}),
    ...named('iops', iops, 1),
    ...named('bytes_per_second', bandwidth, megabyte),
  };
}

/** A 0 takes nothing of the other kind's limit away. */
function named(
  unit: 'iops' | 'bytes_per_second',
  values: readonly [number, number] | undefined,
  factor: number,
): Limits {
  if (values === undefined) return {};
  const [reads, writes] = values.map((value) => String(value * factor)) as [string, string];
  return { [`max_read_${unit}`]: reads, [`max_write_${unit}`]: writes };
}

function pair(flag: string, text: string | undefined): readonly [number, number] | undefined {
  if (text === undefined) return undefined;
  const match = /^(\d{1,9}),(\d{1,9})$/.exec(text.replace(/\s/g, ''));
  if (match === null) throw usageError(`${flag} "${text}" is not of the form READS,WRITES`);
  return [Number(match[1]), Number(match[2])];
}
