import type { VolumeRecord } from '../../kernel/volume-record.js';
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
