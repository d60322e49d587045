import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { NodeDefinition } from '../gen/px/v1/Node.js';
import type { CreateVolumeRequest__Output } from '../gen/px/v1/CreateVolumeRequest.js';
import type { CheckVolumeResponse } from '../gen/px/v1/CheckVolumeResponse.js';
import type { ListVolumesRequest__Output } from '../gen/px/v1/ListVolumesRequest.js';
import type { NodeStatus } from '../gen/px/v1/NodeStatus.js';
import type { Volume } from '../gen/px/v1/Volume.js';
import type { ProtoGrpcType } from '../gen/px.js';
import { PxError, type ErrorCode } from '../kernel/errors.js';
import { connectNode } from '../platform/grpc-client.js';
import { startGrpcServer, unaryService, type RunningServer } from '../platform/grpc-server.js';
import { silentLogger } from '../platform/logger.js';
import { loadProto } from '../platform/proto.js';
import { runPxctl } from './program.js';

/** A px.v1.Node that answers what a test puts here; the wire and the client are real. */
type Served = Pick<
  NodeDefinition,
  | 'GetStatus'
  | 'ListNodes'
  | 'CreateVolume'
  | 'GetVolume'
  | 'ListVolumes'
  | 'ResizeVolume'
  | 'UpdateVolume'
  | 'CheckVolume'
>;

const protoDir = join(process.cwd(), 'proto');
const gib = 1024 ** 3;

const node = (number: number, state = 'operational'): NodeStatus => ({
  id: `node-${number}`,
  name: `n${number}`,
  cluster_id: 'c1',
  version: '0.1.0',
  state,
  zone: `zone-${number}`,
  region: 'region-1',
  mgmt_address: `10.0.0.${number}:9002`,
  pools: [{ id: 'p1', class: 'high', total_bytes: 2 * gib, used_bytes: gib, state: 'online' }],
  drives: [{ path: '/dev/sdb', state: 'refused', reason: 'it holds xfs', size_bytes: gib }],
});

const volume: Volume = {
  id: 'id-1',
  name: 'vol1',
  spec: { size_bytes: 10 * gib, replicas: 2, fs: 'xfs', io_priority: 'high', labels: { a: '1' } },
  created_at: '2026-01-02T03:04:05Z',
  status: 'degraded',
  status_reason: 'the replica on n2 is not in sync',
  state: 'attached',
  attached_on: 'node-1',
  device_path: '/dev/loop7',
  used_bytes: '9007199254740993',
  replicas: [
    { id: 'r1', node_id: 'node-1', node_name: 'n1', state: 'in_sync', zone: 'zone-1' },
    {
      ...{ id: 'r2', node_id: 'node-2', node_name: 'n2', state: 'resync', zone: 'zone-2' },
      ...{ resync_bytes_done: gib, resync_bytes_total: 4 * gib },
    },
  ],
};

let directory: string;
let endpoint: string;
let server: RunningServer;
let state: string;
let listNodesError: ErrorCode | undefined;
let createError: PxError | undefined;
let created: CreateVolumeRequest__Output[];
let resizeError: PxError | undefined;
let changed: object[];
let listed: ListVolumesRequest__Output[];
let check: CheckVolumeResponse;

beforeAll(async () => {
  directory = mkdtempSync(join(tmpdir(), 'pxctl-'));
  endpoint = `unix://${join(directory, 'px-node.sock')}`;
  const { service } = (loadProto(protoDir, 'px.proto') as unknown as ProtoGrpcType).px.v1.Node;
  const served = unaryService<Served>(
    service,
    {
      GetStatus: async () => node(1, state),
      ListNodes: async () => {
        if (listNodesError !== undefined) throw new PxError(listNodesError, 'etcd is away');
        return { nodes: [node(1), node(2, 'offline')] };
      },
      CreateVolume: async (request) => {
        created.push(request);
        if (createError !== undefined) throw createError;
        return { ...volume, name: request.name };
      },
      GetVolume: async (request) => {
        if (request.id_or_name !== 'vol1' && request.id_or_name !== 'id-1') {
          throw new PxError('not_found', `there is no volume "${request.id_or_name}"`);
        }
        return volume;
      },
      ListVolumes: async (request) => {
        listed.push(request);
        const last = request.starting_token !== '';
        const name = last ? 'a-second-page' : 'vol1';
        return { volumes: [{ ...volume, name, id: name }], next_token: last ? '' : 'more' };
      },
      ResizeVolume: async (request) => {
        changed.push(request);
        if (resizeError !== undefined) throw resizeError;
        return { ...volume, id: 'not-of-this-machine', name: request.id_or_name };
      },
      UpdateVolume: async (request) => {
        changed.push(request);
        return { ...volume, name: request.id_or_name };
      },
      CheckVolume: async () => check,
    },
    silentLogger,
  );
  server = await startGrpcServer({ services: [served], listen: [endpoint] });
});

afterAll(async () => {
  await server.close(100);
  rmSync(directory, { recursive: true, force: true });
});

beforeEach(() => {
  state = 'operational';
  listNodesError = undefined;
  createError = undefined;
  resizeError = undefined;
  created = [];
  changed = [];
  listed = [];
  check = { equal: true, bytes_compared: gib, replicas_compared: ['r1', 'r2'], differences: [] };
});

async function pxctl(...args: string[]): Promise<{ code: number; out: string; err: string }> {
  let out = '';
  let err = '';
  const code = await runPxctl(['--endpoint', endpoint, ...args], {
    version: '1.2.3',
    connect: (address, timeoutMs) => connectNode(address, { timeoutMs, protoDir }),
    run: () => Promise.reject(new PxError('internal', 'no program may be run here')),
    mountInfoPath: '/proc/self/mountinfo',
    out: (text) => (out += text),
    err: (text) => (err += text),
  });
  return { code, out, err };
}

describe('usage', () => {
  test.each([
    [['volume', 'create']],
    [['volume', 'create', 'a', 'b']],
    [['volume', 'create', 'a', '--nonsense']],
    [['volume', 'create', 'a', '-r', '6']],
    [['volume', 'create', 'a', '-r', 'two']],
    [['volume', 'create', 'a', '-s', 'big']],
    [['volume', 'create', 'a', '--fs', 'btrfs']],
    [['volume', 'create', 'a', '--fs', 'xfs', '-s', '299M']],
    [['volume', 'create', 'a', '-b', '1024']],
    [['volume', 'create', 'a', '--io_priority', 'urgent']],
    [['volume', 'create', 'a', '--io_profile', 'db_remote']],
    [['volume', 'create', 'a', '-a', '2']],
    [['volume', 'create', 'a', '--queue_depth', '257']],
    [['volume', 'create', 'a', '--fg']],
    [['volume', 'create', 'a', '--label', 'novalue']],
    [['volume', 'create', 'a', '--nodes', 'n1,,n2']],
    [['volume', 'resize', 'a']],
    [['volume', 'update', 'a']],
    [['volume', 'update', 'a', '--sticky']],
    [['volume', 'update', 'a', '--sticky', 'maybe']],
    [['volume', 'update', 'a', '--sharedv4', 'on']],
    [['volume', 'create', 'a', '-d', '25:00']],
    [['volume', 'create', 'a', '-w', 'someday@12:00']],
    [['volume', 'create', 'a', '--max_iops', '100']],
    [['volume', 'create', 'a', '--max_iops', '100,0', '--max_bandwidth', '5,0']],
    [['volume', 'update', 'a', '--io_priority', 'urgent']],
    [['volume', 'lst']],
    [['--timeout', 'soon', 'status']],
    [['nonsense']],
  ])('%j is refused in one line with exit code 2, and nothing is asked for', async (args) => {
    const { code, out, err } = await pxctl(...args);
    expect(code).toBe(2);
    expect(out).toBe('');
    expect(err).toMatch(/^pxctl: [^\n]+\n$/);
    expect([...created, ...changed]).toEqual([]);
  });

  test.each([
    [['--shared'], 'shared volumes'],
    [['--sharedv4=true'], 'shared volumes'],
    [['--secure'], 'encryption'],
    [['--secret_key', 'k'], 'encryption'],
    [['--journal'], 'journal devices'],
  ])('volume create %j says that this release does not have it', async (flags, feature) => {
    for (const args of [
      ['volume', 'create', ...flags, 'a'],
      ['v', 'c', 'a', ...flags],
    ]) {
      const { code, err } = await pxctl(...args);
      expect(code).toBe(2);
      expect(err).toContain(`this release has no ${feature}; leave the flag out\n`);
    }
    expect(created).toEqual([]);
  });

  test.each([
    [['cloudsnap', 'backup', 'v', '--full'], 'pxctl cloudsnap'],
    [['cs', 'list'], 'pxctl cloudsnap'],
    [['volume', 'trim', 'v'], 'pxctl volume trim'],
    [['service', 'drive', 'add', '-d', '/dev/sdb'], 'pxctl drive add'],
  ])('%j is a known command of a later release', async (args, name) => {
    const { code, err } = await pxctl(...args);
    expect(code).toBe(2);
    expect(err).toMatch(/^pxctl: [^\n]+: this release has no [^\n]+\n$/);
    expect(err).toContain(name.split(' ').at(-1));
  });

  test('help and version are successes on stdout; no command at all is not', async () => {
    expect(await pxctl('--version')).toEqual({ code: 0, out: '1.2.3\n', err: '' });
    const help = await pxctl('--help');
    expect(help).toMatchObject({ code: 0, err: '' });
    expect(help.out).toContain('Exit codes:');
    expect((await pxctl()).code).toBe(2);
    expect((await pxctl('volume')).code).toBe(2);
  });
});

describe('commands', () => {
  test('volume create sends what the flags say', async () => {
    const { code, out } = await pxctl(
      ...['v', 'c', 'db', '-s', '1.5T', '-r', '3', '--fs', 'XFS', '-b', '512'],
      ...['--io_priority', '2', '--io_profile', 'none', '--queue_depth', '64', '-a', 'auto'],
      ...['--nodes', 'n1;n2,n3', '--zones', 'z1', '--racks', 'r1', '--regions', 'eu'],
      ...['--best_effort_location_provisioning', '--group', 'g', '--fg', '--nodiscard'],
      ...['--sticky', '--storagepolicy', 'gold', '-p', '60', '-d', '9:00,2'],
      ...['--max_iops', '100,0', '--max_bandwidth', '0,5'],
      ...['--label', 'a=1,b=x=y', '-l', 'c=3'],
    );
    expect({ code, out }).toEqual({ code: 0, out: 'Volume successfully created: id-1\n' });
    expect(created).toHaveLength(1);
    expect(created[0]).toMatchObject({ name: 'db', from_volume_id: '' });
    expect(created[0]?.spec).toEqual({
      size_bytes: String(1.5 * 1024 ** 4),
      replicas: 3,
      fs: 'xfs',
      block_size_bytes: 512,
      io_priority: 'medium',
      io_profile: 'none',
      queue_depth: 64,
      aggregation_level: 1,
      nodes: ['n1', 'n2', 'n3'],
      zones: ['z1'],
      racks: ['r1'],
      regions: ['eu'],
      best_effort_location: true,
      group: 'g',
      group_enforced: true,
      sticky: true,
      no_discard: true,
      labels: { a: '1', b: 'x=y', c: '3' },
      storage_policy: 'gold',
      snapshot_schedule: 'periodic=60,5;daily=09:00,2',
      max_read_iops: '100',
      max_write_iops: '0',
      max_read_bytes_per_second: '0',
      max_write_bytes_per_second: String(5 * 1024 ** 2),
    });
    await pxctl('v', 'c', 'plain');
    // Left open for a storage policy to fill in.
    expect(created[1]?.spec).toMatchObject({ replicas: 0, io_priority: '', io_profile: '' });
  });

  test('volume update sends only what the flags say, the growth first', async () => {
    const { code, out } = await pxctl('v', 'u', 'db', '--sticky', 'OFF');
    expect({ code, out }).toEqual({ code: 0, out: 'Volume db successfully updated.\n' });
    const update = { id_or_name: 'db', set_labels: {}, remove_labels: [] };
    expect(changed).toEqual([{ ...update, sticky: false, _sticky: 'sticky' }]);
    changed = [];
    await pxctl('volume', 'update', 'db', '-s', '20', '-l', 'a=1,b=', '--label', 'c=3');
    expect(changed).toEqual([
      { id_or_name: 'db', size_bytes: String(20 * gib) },
      { ...update, set_labels: { a: '1', c: '3' }, remove_labels: ['b'] },
    ]);
    changed = [];
    await pxctl('v', 'u', 'db', '--max_iops', '5,0', '-p', 'off', '--storagepolicy', '');
    expect(changed).toEqual([
      expect.objectContaining({
        ...{ max_read_iops: '5', max_write_iops: '0', max_read_bytes_per_second: '0' },
        ...{ snapshot_schedule: '', storage_policy: '' },
      }),
    ]);
    expect(changed[0]).not.toHaveProperty('max_write_bytes_per_second');
    changed = [];
    expect((await pxctl('volume', 'update', 'db', '-s', '20')).out).toBe('Volume db has 10 GiB.\n');
    expect(changed).toHaveLength(1);
    resizeError = new PxError('out_of_range', 'it cannot shrink');
    const refused = await pxctl('volume', 'update', 'db', '-s', '1', '--sticky', 'on');
    expect(refused).toMatchObject({ code: 2, out: '' });
    expect(changed).toHaveLength(2);
  });

  test.each<[ErrorCode, number]>([
    ['invalid_argument', 2],
    ['already_exists', 5],
    ['failed_precondition', 5],
    ['aborted', 5],
    ['resource_exhausted', 1],
    ['internal', 1],
    ['kvdb_unavailable', 4],
    ['unavailable', 4],
    ['deadline_exceeded', 4],
  ])('%s of px-node is exit code %i and one line', async (code, exitCode) => {
    createError = new PxError(code, 'because\nof this');
    const result = await pxctl('v', 'c', 'a');
    expect(result).toMatchObject({ code: exitCode, out: '' });
    expect(result.err).toMatch(/^pxctl: because of this[^\n]*\n$/);
  });

  test('a px-node that is not there is exit code 4, at once', async () => {
    const { code, err } = await pxctl('--endpoint', `unix://${directory}/none.sock`, 'status');
    expect(code).toBe(4);
    expect(err).toMatch(/^pxctl: px-node at \S+ does not answer: connect ENOENT .+--endpoint/);
  });

  test('volume list has the columns of the surface, over all pages, by name', async () => {
    const { code, out } = await pxctl('volume', 'list');
    expect(code).toBe(0);
    expect(out.split('\n').map((line) => line.split(/ {2,}/))).toEqual([
      ['ID', 'NAME', 'SIZE', 'HA', 'SHARED', 'ENCRYPTED', 'IO_PRIORITY', 'SCALE', 'STATUS'],
      [
        ...['a-second-page', 'a-second-page', '10 GiB', '2', 'no', 'no', 'HIGH', '1'],
        'degraded - attached on n1',
      ],
      ['vol1', 'vol1', '10 GiB', '2', 'no', 'no', 'HIGH', '1', 'degraded - attached on n1'],
      [''],
    ]);
    expect(listed.map((request) => request.no_snapshots)).toEqual([true, true]);
    await pxctl('v', 'l', '-s');
    expect(listed.at(-1)).toMatchObject({ only_snapshots: true, no_snapshots: false });
    await pxctl('v', 'l', '--all');
    expect(listed.at(-1)).toMatchObject({ only_snapshots: false, no_snapshots: false });
    expect((await pxctl('v', 'l', '--label', 'a=2', '-j')).out).toBe('[]\n');
  });

  test('-j goes anywhere; 64-bit numbers stay exact as strings', async () => {
    for (const args of [
      ['-j', 'volume', 'inspect', 'vol1'],
      ['volume', 'inspect', 'vol1', '--json'],
    ]) {
      const { code, out, err } = await pxctl(...args);
      expect({ code, err }).toEqual({ code: 0, err: '' });
      const [shown] = JSON.parse(out) as Record<string, unknown>[];
      expect(shown).toMatchObject({
        id: 'id-1',
        locator: { name: 'vol1', volume_labels: { a: '1' } },
        ctime: '2026-01-02T03:04:05Z',
        spec: { size: String(10 * gib), format: 'xfs', ha_level: '2', cos: 'high' },
        usage: '9007199254740993',
        status: 'degraded',
        state: 'attached',
        attached_on: 'node-1',
        device_path: '/dev/loop7',
        replica_sets: [{ nodes: ['node-1', 'node-2'] }],
        runtime_state: [{ runtime_state: { RuntimeState: 'resync' } }],
      });
    }
  });

  test('volume inspect shows every replica, the resync and why it is degraded', async () => {
    const { out } = await pxctl('v', 'i', 'vol1');
    expect(out).toMatch(/Status +: degraded\n.*Reason +: the replica on n2 is not in sync\n/);
    expect(out).toMatch(/State +: Attached: n1 \(node-1\)\n/);
    expect(out).toMatch(/n1 +zone-1 .*in_sync +-\n/);
    expect(out).toMatch(/n2 +zone-2 .*resync +25 % \(1 GiB of 4 GiB\)\n/);
    expect(out).toContain('Replication Status : Resync\n');
    expect(await pxctl('v', 'i', 'none')).toMatchObject({ code: 3, out: '' });
  });

  test('volume check: equal, different and where, or not all compared', async () => {
    expect(await pxctl('v', 'check', 'vol1')).toEqual({
      code: 0,
      out: 'Volume vol1: the replicas are equal (1 GiB compared on n1, n2)\n',
      err: '',
    });
    const difference = { offset_bytes: 65536, length_bytes: 131072, digests: ['aa', 'bb'] };
    check = { ...check, equal: false, differences: [difference] };
    const differs = await pxctl('v', 'check', 'vol1');
    expect(differs.code).toBe(6);
    expect(differs.out).toMatch(/DIFFER at 1 place, 128 KiB .*\nOFFSET +LENGTH +n1 +n2\n/);
    expect(differs.out).toMatch(/\n65536 +131072 +aa +bb\n/);
    check = { equal: true, bytes_compared: gib, replicas_compared: ['r1'] };
    const partial = await pxctl('v', 'check', 'vol1');
    expect(partial).toMatchObject({
      code: 5,
      err: 'pxctl: not compared: the replica on n2 is resync\n',
    });
    expect(partial.out).not.toContain('equal');
  });

  test('status shows the node although the cluster cannot be asked, and says by its code', async () => {
    const fine = await pxctl('status');
    expect(fine.code).toBe(0);
    expect(fine.out).toMatch(/^Status: PX is operational\nNode ID: node-1\n/);
    expect(fine.out).toContain('POOL  IO_PRIORITY  RAID_LEVEL  USABLE  USED   STATUS  ZONE');
    expect(fine.out).toMatch(/n2 .*offline/);
    state = 'kvdb_unavailable';
    listNodesError = 'kvdb_unavailable';
    const away = await pxctl('status');
    expect(away.code).toBe(4);
    expect(away.out).toMatch(/^Status: PX is kvdb unavailable\n/);
    expect(away.out).toContain('Not known: etcd is away');
    expect((await pxctl('cluster', 'list')).code).toBe(4);
  });

  test('cluster inspect and the pools and drives of the node', async () => {
    const one = JSON.parse((await pxctl('c', 'i', 'n2', '-j')).out) as { id: string }[];
    expect(one.map(({ id }) => id)).toEqual(['node-2']);
    expect((await pxctl('cluster', 'inspect', 'n9')).code).toBe(3);
    const pools = JSON.parse((await pxctl('sv', 'pool', 'show', '-j')).out) as object[];
    expect(pools).toMatchObject([{ id: 'p1', class: 'high', total_bytes: String(2 * gib) }]);
    expect((await pxctl('service', 'drive', 'show')).out).toMatch(/refused +it holds xfs\n/);
  });
});
