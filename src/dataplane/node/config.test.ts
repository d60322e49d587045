import { addressOf } from './addresses.js';
import { parseConfig } from './config.js';
import { parseVolumeSpec, sameSpec } from './volume-spec.js';
import type { VolumeSpec__Output } from '../../gen/px/v1/VolumeSpec.js';

const minimal = { clusterid: 'c1', kvdb: ['etcd:http://10.0.0.1:2379'] };
const parse = (value: unknown, env: Record<string, string> = {}) =>
  parseConfig(JSON.stringify(value), 'config.json', env);

describe('parseConfig', () => {
  it("takes the seeds' shape and fills in the rest", () => {
    const config = parse({
      ...minimal,
      mgtiface: 'eth0',
      dataiface: 'eth1',
      storage: { devices: ['/dev/sdb', { path: '/dev/sdc', class: 'high' }], class: 'low' },
    });
    expect(config.storage.devices).toEqual([
      { path: '/dev/sdb', class: 'low' },
      { path: '/dev/sdc', class: 'high' },
    ]);
    expect(config).toMatchObject({ startPort: 9001, zone: 'default', dataDir: '/var/lib/px' });
    expect(config.timing.leaseMs).toBe(4000);
  });

  it('knows the internal kvdb, a single URI, and one directory or several', () => {
    expect(parse({ ...minimal, kvdb: 'internal' }).kvdb).toBe('internal');
    expect(parse({ ...minimal, kvdb: 'http://e:1' }).kvdb).toEqual(['http://e:1']);
    const { storage } = parse({ ...minimal, storage: { directory: '/a', directories: ['/b'] } });
    expect(storage.directories.map(({ path }) => path)).toEqual(['/a', '/b']);
  });

  it('lets the environment say where the node is', () => {
    const config = parse({ ...minimal, zone: 'file' }, { PWX_ZONE: 'env', PWX_RACK: 'r' });
    expect(config).toMatchObject({ zone: 'env', region: 'default', rack: 'r' });
  });

  it.each([
    [{ kvdb: ['x'] }, /clusterid: /],
    [{ ...minimal, clusterid: 'a/b' }, /clusterid: must be letters/],
    [{ ...minimal, kvdb: [] }, /kvdb: /],
    [{ ...minimal, storage: { devices: ['sdb'] } }, /storage\.devices\[0\]: /],
    [{ ...minimal, storage: { device: [] } }, /storage\.device: is not a known field/],
    [{ ...minimal, startPort: 0 }, /startPort: /],
    [{ ...minimal, kvdbMembers: ['a', 'b'] }, /kvdbMembers: must be one address or three/],
    [{ ...minimal, timing: { leaseMs: 1000 } }, /timing\.leaseMs: must be at least twice/],
    [{ ...minimal, tls: { certFile: '/a', keyFile: '/b' } }, /tls\.caFile: /],
    [{ ...minimal, tls: { certFile: 'a', keyFile: '/b', caFile: '/c' } }, /tls\.certFile: must be/],
    [{ ...minimal, unknown: 1 }, /unknown: is not a known field/],
  ])('names the field that is wrong: %j', (config, message) => {
    expect(() => parse(config)).toThrow(message);
  });

  it('says when the file is not JSON', () => {
    expect(() => parseConfig('{', '/etc/px/config.json', {})).toThrow(
      /\/etc\/px\/config\.json is not JSON/,
    );
  });
});

describe('addressOf', () => {
  const interfaces = {
    lo: [{ address: '127.0.0.1', family: 'IPv4', internal: true }],
    eth0: [
      { address: 'fe80::1', family: 'IPv6', internal: false },
      { address: '10.0.0.7', family: 'IPv4', internal: false },
    ],
  };

  it('finds the address of a named interface, or of the first real one', () => {
    expect(addressOf('mgtiface', 'eth0', interfaces)).toBe('10.0.0.7');
    expect(addressOf('mgtiface', 'lo', interfaces)).toBe('127.0.0.1');
    expect(addressOf('mgtiface', undefined, interfaces)).toBe('10.0.0.7');
    expect(addressOf('dataiface', '192.168.1.1', interfaces)).toBe('192.168.1.1');
  });

  it('names the field and what there is', () => {
    expect(() => addressOf('dataiface', 'eth9', interfaces)).toThrow(
      /dataiface: .*"eth9".*lo, eth0/,
    );
  });
});

describe('parseVolumeSpec', () => {
  const asked = (changes: Partial<VolumeSpec__Output>): VolumeSpec__Output => ({
    size_bytes: '1073741824',
    replicas: 0,
    io_priority: '',
    fs: '',
    block_size_bytes: 0,
    nodes: [],
    zones: [],
    racks: [],
    regions: [],
    best_effort_location: false,
    group: '',
    group_enforced: false,
    sticky: false,
    no_discard: false,
    queue_depth: 0,
    storage_policy: '',
    snapshot_schedule: '',
    max_read_iops: '0',
    max_write_iops: '0',
    max_read_bytes_per_second: '0',
    max_write_bytes_per_second: '0',
    labels: {},
    io_profile: '',
    aggregation_level: 0,
    ...changes,
  });

  it('has defaults, and rounds a size up to whole blocks', () => {
    const { sizeBytes, spec } = parseVolumeSpec(asked({ size_bytes: '4097' }));
    expect(sizeBytes).toBe(8192);
    expect(spec).toMatchObject({ replicas: 1, ioPriority: 'low', fs: 'ext4', queueDepth: 128 });
    expect(spec.blockSizeBytes).toBe(4096);
  });

  it.each([
    [{ size_bytes: '0' }, /size_bytes/],
    [{ replicas: 6 }, /replicas: must be from 1 to 5/],
    [{ fs: 'btrfs' }, /fs: must be one of ext4, xfs, none/],
    [{ block_size_bytes: 1024 }, /block_size_bytes/],
    [{ aggregation_level: 2 }, /aggregation_level/],
    [{ queue_depth: 257 }, /queue_depth/],
  ])('refuses %j', (changes, message) => {
    expect(() => parseVolumeSpec(asked(changes))).toThrow(message);
  });

  it('calls specifications the same whatever the order of their labels', () => {
    const a = parseVolumeSpec(asked({ labels: { x: '1', y: '2' } })).spec;
    const b = parseVolumeSpec(asked({ labels: { y: '2', x: '1' } })).spec;
    const c = parseVolumeSpec(asked({ labels: { x: '1' } })).spec;
    expect(sameSpec(a, b)).toBe(true);
    expect(sameSpec(a, c)).toBe(false);
  });
});
