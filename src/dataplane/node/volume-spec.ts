import { PxError } from '../../kernel/errors.js';
import type { VolumeSpecRecord } from '../../kernel/volume-record.js';
import { formatSchedule, parseSchedule } from '../../kernel/snapshot-schedule.js';
import type { VolumeSpec__Output } from '../../gen/px/v1/VolumeSpec.js';
import { parseLimits } from '../policy/io-limits.js';
import { canonicalJson } from '../policy/policy-digest.js';

/** Devices count in 4 KiB blocks (or 512 bytes, which divide them). */
const sizeUnitBytes = 4096;
const maxSizeBytes = 2 ** 50;
const maxReplicas = 5;

const ioProfiles = [
  'auto',
  'db_remote',
  'none',
  'journal',
  'auto_journal',
  'sequential',
  'random',
  'db',
  'cms',
  'sync_shared',
];

export interface AskedVolume {
  readonly sizeBytes: number;
  readonly spec: VolumeSpecRecord;
}

/** Checks what a caller asks for; fields that are left empty get their defaults. */
export function parseVolumeSpec(asked: VolumeSpec__Output | null): AskedVolume {
  if (asked === null) throw invalid('spec', 'is missing');
  return {
    sizeBytes: parseSize(asked.size_bytes),
    spec: {
      replicas: inRange('replicas', asked.replicas || 1, 1, maxReplicas),
      ioPriority: parsePriority(asked.io_priority || 'low'),
      fs: oneOf('fs', asked.fs || 'ext4', ['ext4', 'xfs', 'none']),
      blockSizeBytes: oneOf('block_size_bytes', asked.block_size_bytes || 4096, [512, 4096]),
      nodes: [...asked.nodes],
      zones: [...asked.zones],
      racks: [...asked.racks],
      regions: [...asked.regions],
      bestEffortLocation: asked.best_effort_location,
      group: asked.group,
      groupEnforced: asked.group_enforced,
      sticky: asked.sticky,
      noDiscard: asked.no_discard,
      queueDepth: inRange('queue_depth', asked.queue_depth || 128, 1, 256),
      ioProfile: oneOf('io_profile', asked.io_profile || 'auto', ioProfiles),
      aggregationLevel: parseAggregation(asked.aggregation_level || 1),
      labels: { ...asked.labels },
      ...laterFields(asked),
    },
  };
}

/** Records of earlier versions have none of these: what is not asked for has no key. */
function laterFields(
  asked: VolumeSpec__Output,
): Pick<VolumeSpecRecord, 'storagePolicy' | 'limits' | 'snapshotSchedule'> {
  const limits = parseLimits(asked);
  const schedule = parseSnapshotSchedule(asked.snapshot_schedule);
  return {
    ...(asked.storage_policy === '' ? {} : { storagePolicy: asked.storage_policy }),
    ...(limits === undefined ? {} : { limits }),
    ...(schedule === '' ? {} : { snapshotSchedule: schedule }),
  };
}

export function parsePriority(text: string): VolumeSpecRecord['ioPriority'] {
  return oneOf('io_priority', text, ['high', 'medium', 'low']);
}

/** In its canonical text; '' for none. */
export function parseSnapshotSchedule(text: string): string {
  return formatSchedule(parseSchedule('snapshot_schedule', text));
}

export function parseSize(text: string | number): number {
  const sizeBytes = Number(text);
  if (!Number.isSafeInteger(sizeBytes) || sizeBytes <= 0) {
    throw invalid('size_bytes', 'must be a positive number of bytes');
  }
  if (sizeBytes > maxSizeBytes) {
    throw new PxError('out_of_range', `size_bytes: at most ${maxSizeBytes} bytes (1 PiB)`);
  }
  return Math.ceil(sizeBytes / sizeUnitBytes) * sizeUnitBytes;
}

/** Names are keys in the kvdb and show up in paths and tables. */
export function checkName(name: string): string {
  if (!/^[A-Za-z0-9][A-Za-z0-9._:-]{0,254}$/.test(name)) {
    throw invalid('name', 'must be 1 to 255 letters, digits, ".", "_", ":" or "-"');
  }
  return name;
}

export function sameSpec(a: VolumeSpecRecord, b: VolumeSpecRecord): boolean {
  return canonicalJson(a) === canonicalJson(b);
}

function parseAggregation(level: number): number {
  if (level === 1) return 1;
  throw invalid('aggregation_level', 'must be 1: striping over replica sets is not there yet');
}

function inRange(field: string, value: number, least: number, most: number): number {
  if (Number.isInteger(value) && value >= least && value <= most) return value;
  throw invalid(field, `must be from ${least} to ${most}, and is ${value}`);
}

function oneOf<const T extends string | number>(
  field: string,
  value: string | number,
  allowed: readonly T[],
): T {
  const found = allowed.find((candidate) => candidate === value);
  if (found !== undefined) return found;
  throw invalid(field, `must be one of ${allowed.join(', ')}, and is "${value}"`);
}

function invalid(field: string, problem: string): PxError {
  return new PxError('invalid_argument', `${field}: ${problem}`, { field });
}
