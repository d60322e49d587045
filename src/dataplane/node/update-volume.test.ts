import type { VolumeRecord } from '../../kernel/volume-record.js';
import { testEntry } from '../policy/testing-volumes.js';
import { newRecord } from './create-volume.js';
import { withChanges } from './update-volume.js';
import { parseVolumeSpec } from './volume-spec.js';

const nothing = { set_labels: {}, remove_labels: [] };
const record: VolumeRecord = {
  ...newRecord('v', parseVolumeSpec(asked({ a: '1', b: '2' })), []),
  lifecycle: 'ready',
};

function asked(labels: Record<string, string>): Parameters<typeof parseVolumeSpec>[0] {
  const lists = { nodes: [], zones: [], racks: [], regions: [], group: '' };
  const flags = { best_effort_location: false, group_enforced: false, no_discard: false };
  const numbers = { replicas: 1, block_size_bytes: 0, queue_depth: 0, aggregation_level: 0 };
  const words = { size_bytes: '4096', io_priority: '', fs: '', io_profile: '' };
  const limits = {
    max_read_iops: '0',
    max_write_iops: '0',
    max_read_bytes_per_second: '0',
    max_write_bytes_per_second: '0',
  };
  const more = { ...limits, storage_policy: '', snapshot_schedule: '' };
  return { ...lists, ...flags, ...numbers, ...words, ...more, sticky: false, labels };
}

describe('withChanges', () => {
  it('changes what is asked for and nothing else', () => {
    const sticky = withChanges(record, { ...nothing, sticky: true });
    expect(sticky).toEqual({ ...record, spec: { ...record.spec, sticky: true } });
    const changes = { set_labels: { a: '3', c: '4' }, remove_labels: ['b', 'never-there'] };
    const labelled = withChanges(record, changes);
    expect(labelled).toEqual({ ...record, spec: { ...record.spec, labels: { a: '3', c: '4' } } });
  });

  it('writes nothing when the record is so already', () => {
    expect(withChanges(record, nothing)).toBeUndefined();
    expect(withChanges(record, { ...nothing, sticky: false })).toBeUndefined();
    const same = { set_labels: { b: '2' }, remove_labels: ['c'] };
    expect(withChanges(record, same)).toBeUndefined();
  });

  it('refuses a volume that is being made or deleted', () => {
    for (const lifecycle of ['creating', 'deleting'] as const) {
      expect(() => withChanges({ ...record, lifecycle }, nothing)).toThrow(`is ${lifecycle}`);
    }
  });
});

describe('withChanges of what policies govern', () => {
  const strict = testEntry('strict', {
    enforcement: 'Reject',
    volume: { replication: { value: 2, operator: 'Equal' }, ioPriority: 'low' },
  });
  const policies = new Map([
    ['strict', strict],
    ['soft', testEntry('soft', { volume: strict.policy.volume })],
  ]);
  const change = (changes: object, of: Partial<VolumeRecord> = {}) =>
    withChanges({ ...record, ...of }, { ...nothing, ...changes }, policies);
  const two = { spec: { ...record.spec, replicas: 2 } };

  it('puts a volume under a policy that exists, and has it brought there', () => {
    expect(change({ storage_policy: 'soft' })).toMatchObject({
      spec: { storagePolicy: 'soft', replicas: 1 },
      policyApplied: 'asked',
    });
    expect(() => change({ storage_policy: 'steel' })).toThrow(/there are soft, strict/);
    const under = { spec: { ...record.spec, storagePolicy: 'soft' } };
    expect(change({ storage_policy: '' }, under)?.spec).not.toHaveProperty('storagePolicy');
  });

  it('lets no volume under a policy that rejects it, by what it is on its way to', () => {
    expect(() => change({ storage_policy: 'strict' })).toThrow(/replicas: .*exactly 2, and is 1/);
    expect(change({ storage_policy: 'strict' }, two)).toBeDefined();
    const wish = { targetCount: 3, added: [], removing: [], cause: 'asked' as const, blocked: '' };
    expect(() => change({ storage_policy: 'strict' }, { ...two, replicaWish: wish })).toThrow(
      /and is 3/,
    );
  });

  it('changes the class unless the policy says which', () => {
    expect(change({ io_priority: 'high' })).toMatchObject({
      spec: { ioPriority: 'high' },
      policyApplied: 'asked',
    });
    const governed = { spec: { ...record.spec, storagePolicy: 'soft' } };
    expect(() => change({ io_priority: 'high' }, governed)).toThrow(/io_priority: .*soft/);
    expect(() => change({ io_priority: 'urgent' })).toThrow(/io_priority: must be one of/);
  });

  it('changes limits and schedules, never both limits of a direction', () => {
    const limited = change({ max_read_iops: '100', snapshot_schedule: 'daily=9:00' });
    expect(limited?.spec).toMatchObject({
      limits: { readIops: 100 },
      snapshotSchedule: 'daily=09:00,7',
    });
    const after = { spec: limited?.spec ?? record.spec };
    expect(() => change({ max_read_bytes_per_second: '1048576' }, after)).toThrow(
      /max_read_iops: .*together/,
    );
    const swapped = { max_read_iops: '0', max_read_bytes_per_second: '1048576' };
    expect(change(swapped, after)?.spec.limits).toEqual({ readBytesPerSecond: 1048576 });
    expect(change({ max_read_iops: '0' }, after)?.spec).not.toHaveProperty('limits');
    expect(() => change({ max_write_bytes_per_second: '5' })).toThrow(/must be 0 .*or from 65536/);
    expect(change({ max_read_iops: '100' }, after)).toBeUndefined();
  });
});
