import { PxError, toPxError } from '../../kernel/errors.js';
import {
  formatSchedule,
  maxIntervalMinutes,
  parseSchedule,
} from '../../kernel/snapshot-schedule.js';
import type { SnapshotSchedule } from '../../kernel/storage-policy.js';
import { parseFormatOptions } from './format-options.js';
import { isLaterFeature, isLaterFeatureOff } from './later-features.js';
import { parseMountOptions } from './mount-options.js';
import { checkThrottle, throttleParsers, type ThrottleLimits } from './throttle.js';
import {
  badValue,
  parseBoolean,
  parseBytes,
  parseChoice,
  parseFlag,
  parseInteger,
  parseLabels,
  parseNames,
} from './values.js';

export type FsChoice = 'ext4' | 'xfs' | 'none';
export type IoPriority = 'high' | 'medium' | 'low';

/** What a StorageClass asks for; undefined where it says nothing. */
export interface ClassParameters {
  replicas?: number;
  fs?: FsChoice;
  blockSizeBytes?: 512 | 4096;
  ioPriority?: IoPriority;
  ioProfile?: 'auto' | 'none';
  nodes?: string[];
  zones?: string[];
  racks?: string[];
  regions?: string[];
  bestEffortLocation?: boolean;
  group?: string;
  groupEnforced?: boolean;
  sticky?: boolean;
  noDiscard?: boolean;
  queueDepth?: number;
  mountOptions?: string[];
  formatOptions?: string[];
  storagePolicy?: string;
  /** In its canonical text; '' for none. */
  snapshotSchedule?: string;
  limits?: ThrottleLimits;
  labels: Record<string, string>;
}

const priorities: Readonly<Record<string, IoPriority>> = {
  high: 'high',
  '3': 'high',
  medium: 'medium',
  '2': 'medium',
  low: 'low',
  '1': 'low',
};

/** The provisioner's own keys (--extra-create-metadata) and the labels they become. */
const metadataLabels: Readonly<Record<string, string>> = {
  'csi.storage.k8s.io/pvc/name': 'pvc',
  'csi.storage.k8s.io/pvc/namespace': 'namespace',
  'csi.storage.k8s.io/pv/name': 'pv',
};

type Parser = (key: string, value: string, into: ClassParameters) => void;

const parsers: Readonly<Record<string, Parser>> = {
  repl: (key, value, into) => {
    into.replicas = parseInteger(key, value, 1, 5);
  },
  fs: (key, value, into) => {
    into.fs = parseChoice<FsChoice>(key, value, { ext4: 'ext4', xfs: 'xfs', none: 'none' });
  },
  block_size: (key, value, into) => {
    const bytes = parseBytes(key, value);
    if (bytes !== 512 && bytes !== 4096) throw badValue(key, value, '512, 4096 (or 4k)');
    into.blockSizeBytes = bytes;
  },
  io_priority: parsePriority,
  priority_io: parsePriority,
  io_profile: (key, value, into) => {
    // The other profiles change how writes are gathered; none of that exists yet.
    into.ioProfile = parseChoice<'auto' | 'none'>(key, value, { auto: 'auto', none: 'none' });
  },
  aggregation_level: (key, value) => {
    if (!['1', 'auto'].includes(value.trim().toLowerCase())) {
      throw badValue(key, value, '1, auto (this version does not stripe a volume over sets)');
    }
  },
  group: (key, value, into) => {
    if (value.trim() === '') throw badValue(key, value, 'the name of a group');
    into.group = value.trim();
  },
  fg: (key, value, into) => {
    into.groupEnforced = parseBoolean(key, value);
  },
  nodes: (key, value, into) => {
    into.nodes = parseNames(key, value);
  },
  zones: (key, value, into) => {
    into.zones = parseNames(key, value);
  },
  racks: (key, value, into) => {
    into.racks = parseNames(key, value);
  },
  regions: (key, value, into) => {
    into.regions = parseNames(key, value);
  },
  best_effort_location_provisioning: (key, value, into) => {
    into.bestEffortLocation = parseFlag(key, value);
  },
  sticky: (key, value, into) => {
    into.sticky = parseBoolean(key, value);
  },
  nodiscard: (key, value, into) => {
    into.noDiscard = parseBoolean(key, value);
  },
  queue_depth: (key, value, into) => {
    into.queueDepth = parseInteger(key, value, 1, 256);
  },
  mount_options: (key, value, into) => {
    into.mountOptions = parseMountOptions(key, value);
  },
  createoptions: (key, value, into) => {
    into.formatOptions = parseFormatOptions(key, value);
  },
  storagepolicy: (key, value, into) => {
    if (value.trim() === '') throw badValue(key, value, 'the name of a storage policy');
    into.storagePolicy = value.trim();
  },
  snap_schedule: parseSnapSchedule,
  snap_interval: parseSnapInterval,
  ...throttleParsers,
  label: addLabels,
  labels: addLabels,
  parent: refuseParent,
  size: refuseSize,
};

/**
 * Reads a StorageClass's parameters. A known key with a bad value is refused; an
 * unknown key becomes a label of the volume, so that a class written for
 * another version still applies.
 */
export function parseStorageClass(parameters: Readonly<Record<string, string>>): ClassParameters {
  const parsed: ClassParameters = { labels: {} };
  // In the order of the names, so that the same class gives the same refusal.
  for (const key of Object.keys(parameters).sort()) {
    const value = parameters[key] ?? '';
    const parser = Object.hasOwn(parsers, key) ? parsers[key] : undefined;
    if (parser !== undefined) parser(key, value, parsed);
    else if (!isLaterFeatureOff(key, value)) parsed.labels[metadataLabels[key] ?? key] = value;
  }
  checkThrottle(parsed.limits);
  return parsed;
}

/** What a VolumeAttributesClass may change of a volume that lives. */
const mutableKeys = [
  'repl',
  'io_priority',
  'priority_io',
  'storagepolicy',
  'snap_schedule',
  'snap_interval',
  ...Object.keys(throttleParsers),
];

/** Nothing but what can be changed: a key that is only misspelt must not become a label. */
export function parseMutable(parameters: Readonly<Record<string, string>>): ClassParameters {
  // With --extra-create-metadata csi-resizer says whose volume it is, as csi-provisioner does.
  const asked = Object.entries(parameters).filter(([key]) => metadataLabels[key] === undefined);
  const wrong = asked
    .map(([key]) => key)
    .sort()
    .find((key) => !mutableKeys.includes(key));
  if (wrong !== undefined) {
    throw new PxError(
      'invalid_argument',
      `mutable parameter "${wrong}" can't be changed; allowed: ${mutableKeys.join(', ')}`,
      { key: wrong },
    );
  }
  return parseStorageClass(Object.fromEntries(asked));
}

/** Whether a key means something here, be it for a feature that is still to come. */
export function isParameterKey(key: string): boolean {
  return Object.hasOwn(parsers, key) || isLaterFeature(key);
}

function parsePriority(key: string, value: string, into: ClassParameters): void {
  const priority = parseChoice(key, value, priorities);
  if (into.ioPriority !== undefined && into.ioPriority !== priority) {
    throw new PxError(
      'invalid_argument',
      `parameters "io_priority" and "priority_io" disagree: ${into.ioPriority} and ${priority}; ` +
        'allowed: one of them, or both with the same value',
    );
  }
  into.ioPriority = priority;
}

function parseSnapSchedule(key: string, value: string, into: ClassParameters): void {
  // snap_interval comes before snap_schedule in the order of names.
  const before = parseSchedule(key, into.snapshotSchedule ?? '');
  const own = scheduleOf(key, value);
  if (own.interval !== undefined && before.interval !== undefined) {
    throw badValue(key, value, 'no "periodic" beside snap_interval, which says the same');
  }
  into.snapshotSchedule = formatSchedule({ ...before, ...own });
}

function scheduleOf(key: string, value: string): SnapshotSchedule {
  try {
    return parseSchedule(key, value);
  } catch (thrown) {
    const [, allowed = ''] = toPxError(thrown).message.split('allowed: ');
    throw badValue(key, value, allowed);
  }
}

function parseSnapInterval(key: string, value: string, into: ClassParameters): void {
  const intervalMinutes = parseInteger(key, value, 0, maxIntervalMinutes);
  into.snapshotSchedule =
    intervalMinutes === 0 ? '' : formatSchedule({ interval: { intervalMinutes } });
}

function addLabels(key: string, value: string, into: ClassParameters): void {
  Object.assign(into.labels, parseLabels(key, value));
}

function refuseParent(key: string, value: string): void {
  throw badValue(key, value, "leave it out; name the source in the claim's dataSource");
}

function refuseSize(key: string, value: string): void {
  throw badValue(key, value, "leave it out; the size is the claim's storage request");
}
