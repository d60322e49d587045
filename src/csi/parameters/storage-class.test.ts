import { PxError } from '../../kernel/errors.js';
import { parseSnapshotClass } from './snapshot-class.js';
import { parseMutable, parseStorageClass } from './storage-class.js';

function refusal(parameters: Record<string, string>): PxError {
  try {
    parseStorageClass(parameters);
  } catch (thrown) {
    if (thrown instanceof PxError) return thrown;
  }
  throw new Error(`${JSON.stringify(parameters)} was accepted`);
}

describe('StorageClass parameters', () => {
  test.each<[string, string, object]>([
    ['repl', '1', { replicas: 1 }],
    ['repl', '3', { replicas: 3 }],
    ['repl', '5', { replicas: 5 }],
    ['fs', 'ext4', { fs: 'ext4' }],
    ['fs', 'XFS', { fs: 'xfs' }],
    ['fs', 'none', { fs: 'none' }],
    ['block_size', '512', { blockSizeBytes: 512 }],
    ['block_size', '4k', { blockSizeBytes: 4096 }],
    ['block_size', '4KiB', { blockSizeBytes: 4096 }],
    ['io_priority', 'high', { ioPriority: 'high' }],
    ['io_priority', '2', { ioPriority: 'medium' }],
    ['priority_io', '1', { ioPriority: 'low' }],
    ['io_profile', 'auto', { ioProfile: 'auto' }],
    ['io_profile', 'none', { ioProfile: 'none' }],
    ['aggregation_level', '1', {}],
    ['aggregation_level', 'auto', {}],
    ['group', 'db', { group: 'db' }],
    ['fg', 'true', { groupEnforced: true }],
    ['nodes', 'a,b;c', { nodes: ['a', 'b', 'c'] }],
    ['zones', 'z1; z2', { zones: ['z1', 'z2'] }],
    ['racks', 'r1', { racks: ['r1'] }],
    ['regions', 'eu', { regions: ['eu'] }],
    ['best_effort_location_provisioning', '', { bestEffortLocation: true }],
    ['best_effort_location_provisioning', 'false', { bestEffortLocation: false }],
    ['sticky', 'yes', { sticky: true }],
    ['nodiscard', 'true', { noDiscard: true }],
    ['queue_depth', '256', { queueDepth: 256 }],
    ['mount_options', 'noatime,commit=5', { mountOptions: ['noatime', 'commit=5'] }],
    [
      'createoptions',
      '-i 8192 -O ^has_journal',
      { formatOptions: ['-i', '8192', '-O', '^has_journal'] },
    ],
    ['secure', 'false', {}],
    ['sharedv4', 'false', {}],
    ['snap_interval', '0', { snapshotSchedule: '' }],
    ['journal', 'false', {}],
    ['io_throttle_rd_iops', '0', { limits: { max_read_iops: 0 } }],
  ])('%s=%s', (key, value, expected) => {
    expect(parseStorageClass({ [key]: value })).toEqual({ labels: {}, ...expected });
  });

  test.each([
    ['repl', '0'],
    ['repl', '6'],
    ['repl', 'two'],
    ['repl', '1.5'],
    ['repl', ''],
    ['fs', 'btrfs'],
    ['fs', 'constructor'],
    ['block_size', '1k'],
    ['block_size', 'big'],
    ['io_priority', 'urgent'],
    ['io_profile', 'db_remote'],
    ['io_profile', 'journal'],
    ['aggregation_level', '2'],
    ['group', ''],
    ['fg', 'perhaps'],
    ['nodes', ' ;, '],
    ['best_effort_location_provisioning', 'maybe'],
    ['sticky', '2'],
    ['nodiscard', ''],
    ['queue_depth', '0'],
    ['queue_depth', '257'],
    ['mount_options', 'bind'],
    ['mount_options', 'noatime;x'],
    ['mount_options', 'logdev=/dev/sda'],
    ['createoptions', '-l logdev=/dev/sda'],
    ['createoptions', '-d file=1'],
    ['createoptions', '-b'],
    ['createoptions', '-b 1024 /dev/sda'],
    ['labels', 'novalue'],
    ['storagepolicy', ' '],
    ['snap_schedule', 'periodic'],
    ['snap_schedule', 'daily=25:00'],
    ['snap_schedule', 'weekly=someday@12:00'],
    ['snap_schedule', 'periodic=60;periodic=90'],
    ['snap_interval', '-1'],
    ['io_throttle_rd_iops', 'many'],
    ['io_throttle_wr_bw', '1.5'],
    ['size', '10G'],
    ['parent', 'abc'],
  ])('%s=%s is refused with the key, the value and what is allowed', (key, value) => {
    const error = refusal({ [key]: value });
    expect(error.code).toBe('invalid_argument');
    expect(error.message).toContain(`"${key}"`);
    expect(error.message).toContain(`"${value}"`);
    expect(error.message).toMatch(/allowed: ./);
  });

  test.each([
    ['secure', 'true'],
    ['secret_key', 'k'],
    ['px/secure', 'true'],
    ['px/secret-name', 'n'],
    ['sharedv4', 'true'],
    ['sharedv4_svc_type', 'ClusterIP'],
    ['shared', '1'],
    ['journal', 'true'],
    ['auto_fstrim', 'true'],
    ['ephemeral', 'true'],
    ['placement_strategy', 'spread'],
    ['export_options', 'rw'],
    ['scale', '3'],
    ['proxy_endpoint', 'nfs://x'],
  ])('%s=%s asks for a later feature and is not accepted silently', (key, value) => {
    const error = refusal({ [key]: value });
    expect(error.code).toBe('invalid_argument');
    expect(error.message).toContain(`"${key}"`);
    expect(error.message).toContain('this version has no');
  });

  it('reads policies, schedules and limits', () => {
    expect(
      parseStorageClass({
        storagepolicy: 'gold',
        snap_schedule: 'daily=9:00; periodic=60,10',
        io_throttle_rd_iops: '100',
        io_throttle_wr_bw: '5',
      }),
    ).toEqual({
      storagePolicy: 'gold',
      snapshotSchedule: 'periodic=60,10;daily=09:00,7',
      limits: { max_read_iops: 100, max_write_bytes_per_second: 5 * 1024 ** 2 },
      labels: {},
    });
    expect(parseStorageClass({ snap_interval: '15', snap_schedule: 'daily=12:00,2' })).toEqual({
      snapshotSchedule: 'periodic=15,5;daily=12:00,2',
      labels: {},
    });
    expect(parseStorageClass({ snap_interval: '0' })).toEqual({ snapshotSchedule: '', labels: {} });
  });

  it('refuses what says the same thing twice', () => {
    const twice = refusal({ io_throttle_wr_iops: '10', io_throttle_wr_bw: '5' });
    expect(twice.code).toBe('invalid_argument');
    expect(twice.message).toMatch(/io_throttle_wr_iops.*io_throttle_wr_bw/);
    expect(parseStorageClass({ io_throttle_wr_iops: '0', io_throttle_wr_bw: '5' }).limits).toEqual({
      max_write_iops: 0,
      max_write_bytes_per_second: 5 * 1024 ** 2,
    });
    expect(refusal({ snap_interval: '15', snap_schedule: 'periodic=60' }).message).toContain(
      'snap_interval',
    );
  });

  it('lets a VolumeAttributesClass change nothing but what can change', () => {
    expect(parseMutable({ repl: '2', io_priority: 'high' })).toEqual({
      replicas: 2,
      ioPriority: 'high',
      labels: {},
    });
    expect(parseMutable({ repl: '2', 'csi.storage.k8s.io/pvc/name': 'claim' })).toEqual({
      replicas: 2,
      labels: {},
    });
    for (const key of ['fs', 'sticky', 'group', 'team', 'csi.storage.k8s.io/fstype']) {
      expect(() => parseMutable({ [key]: 'x' })).toThrow(
        new RegExp(`mutable parameter "${key}" can't be changed; allowed: repl, `),
      );
    }
  });

  it('never repeats a secret', () => {
    expect(refusal({ secret_key: 'hunter2' }).message).not.toContain('hunter2');
  });

  it('makes labels of unknown keys, of labels and of the provisioner metadata', () => {
    const parsed = parseStorageClass({
      team: 'blue',
      label: 'a=1',
      labels: 'b=2, c=x=y',
      'csi.storage.k8s.io/pvc/name': 'claim',
      'csi.storage.k8s.io/pvc/namespace': 'shop',
      'csi.storage.k8s.io/pv/name': 'pvc-1',
    });
    expect(parsed.labels).toEqual({
      team: 'blue',
      a: '1',
      b: '2',
      c: 'x=y',
      pvc: 'claim',
      namespace: 'shop',
      pv: 'pvc-1',
    });
  });

  it('takes both spellings of the priority only when they agree', () => {
    expect(parseStorageClass({ io_priority: 'high', priority_io: '3' }).ioPriority).toBe('high');
    expect(refusal({ io_priority: 'high', priority_io: 'low' }).message).toContain('disagree');
  });
});

describe('VolumeSnapshotClass parameters', () => {
  it('takes local snapshots and labels', () => {
    expect(
      parseSnapshotClass({
        'csi.openstorage.org/snapshot-type': 'local',
        'csi.storage.k8s.io/volumesnapshot/name': 's1',
        team: 'blue',
      }),
    ).toEqual({ volumesnapshot: 's1', team: 'blue' });
  });

  test.each([
    ['csi.openstorage.org/snapshot-type', 'cloud'],
    ['csi.openstorage.org/credential-id', 'c'],
    ['csi.openstorage.org/snapshot-credential-id', 'c'],
    ['csi.openstorage.org/snapshot-incremental-count', '7'],
  ])('refuses %s=%s', (key, value) => {
    expect(() => parseSnapshotClass({ [key]: value })).toThrow(/allowed: /);
  });
});
