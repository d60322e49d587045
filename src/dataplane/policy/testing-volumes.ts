import type { StoragePolicy } from '../../kernel/storage-policy.js';
import type { VolumeRecord, VolumeSpecRecord } from '../../kernel/volume-record.js';
import type { PolicyEntry } from './policy-entry.js';

/** Records and policies for the tests of this folder. */
export const gib = 1024 ** 3;

export function testSpec(changes: Partial<VolumeSpecRecord> = {}): VolumeSpecRecord {
  return {
    replicas: 1,
    ioPriority: 'low',
    fs: 'ext4',
    blockSizeBytes: 4096,
    nodes: [],
    zones: [],
    racks: [],
    regions: [],
    bestEffortLocation: false,
    group: '',
    groupEnforced: false,
    sticky: false,
    noDiscard: false,
    queueDepth: 128,
    ioProfile: 'auto',
    aggregationLevel: 1,
    labels: {},
    ...changes,
  };
}

export function testRecord(
  id: string,
  nodeIds: readonly string[],
  spec: Partial<VolumeSpecRecord> = {},
  changes: Partial<VolumeRecord> = {},
): VolumeRecord {
  return {
    id,
    name: `name-${id}`,
    lifecycle: 'ready',
    sizeBytes: gib,
    spec: testSpec({ replicas: nodeIds.length, ...spec }),
    createdAt: '2026-01-01T00:00:00.000Z',
    readOnly: false,
    parentId: '',
    replicas: nodeIds.map((nodeId) => ({
      id: `${id}-${nodeId}`,
      nodeId,
      poolId: `${nodeId}-low`,
      state: 'in_sync',
    })),
    epoch: 0,
    attachedOn: '',
    attachToken: '',
    publishedOn: '',
    publishedReadOnly: false,
    ...changes,
  };
}

export function testEntry(name: string, changes: Partial<StoragePolicy> = {}): PolicyEntry {
  return {
    name,
    owner: '',
    scheduleSince: '2026-01-01T00:00:00.000Z',
    policy: {
      default: false,
      enforcement: 'Coerce',
      allowUpdate: false,
      volume: {},
      placement: {},
      ...changes,
    },
  };
}
