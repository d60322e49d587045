import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { NodeDefinition } from '../gen/px/v1/Node.js';
import type { StoragePolicyStatus } from '../gen/px/v1/StoragePolicyStatus.js';
import type { ProtoGrpcType } from '../gen/px.js';
import { connectNode } from '../platform/grpc-client.js';
import { startGrpcServer, unaryService, type RunningServer } from '../platform/grpc-server.js';
import { silentLogger } from '../platform/logger.js';
import { loadProto } from '../platform/proto.js';
import { runPxctl } from './program.js';

/** A px.v1.Node that keeps policies and judges none; the wire and the client are real. */
type Served = Pick<
  NodeDefinition,
  'PutStoragePolicy' | 'DeleteStoragePolicy' | 'ListStoragePolicies' | 'ListVolumes'
>;

const protoDir = join(process.cwd(), 'proto');
const directory = mkdtempSync(join(tmpdir(), 'pxctl-policy-'));
const endpoint = `unix://${directory}/px-node.sock`;
const gib = 1024 ** 3;
const base = { default: false, enforcement: 'Coerce', allowUpdate: false, placement: {} };
let server: RunningServer;
let policies: Map<string, StoragePolicyStatus>;
let puts: string[];
let deletes: unknown[];

beforeAll(async () => {
  const loaded = loadProto(protoDir, 'px.proto') as unknown as ProtoGrpcType;
  const served = unaryService<Served>(
    loaded.px.v1.Node.service,
    {
      PutStoragePolicy: async ({ name, policy_json }) => {
        const policy = { ...base, ...(JSON.parse(policy_json) as { default?: boolean }) };
        puts.push(`${name} default=${policy.default}`);
        const status = {
          ...{ name, policy_json: JSON.stringify(policy), is_default: policy.default },
          ...{ governed: 2, changing: 1, waiting: 0, owner: '' },
          violations: [
            { volume_id: '1', volume_name: 'old', rule: 'volume.replication', message: 'is 1' },
          ],
        };
        policies.set(name, status);
        return status;
      },
      DeleteStoragePolicy: async (request) => {
        deletes.push(request);
        policies.delete(request.name);
        return {};
      },
      ListStoragePolicies: async () => ({ policies: [...policies.values()] }),
      ListVolumes: async () => ({
        volumes: [
          { id: '1', name: 'a', spec: { snapshot_schedule: 'daily=12:00,7' } },
          { id: '2', name: 'b', spec: {} },
        ],
      }),
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
  policies = new Map();
  puts = [];
  deletes = [];
});

async function pxctl(...args: string[]): Promise<{ code: number; out: string; err: string }> {
  let out = '';
  let err = '';
  const code = await runPxctl(['--endpoint', endpoint, ...args], {
    version: '1.2.3',
    connect: (address, timeoutMs) => connectNode(address, { timeoutMs, protoDir }),
    run: () => Promise.reject(new Error('no program may be run here')),
    mountInfoPath: '/proc/self/mountinfo',
    out: (text) => (out += text),
    err: (text) => (err += text),
  });
  return { code, out, err };
}

const rulesOf = (name: string): unknown => JSON.parse(policies.get(name)?.policy_json ?? 'null');

describe('storage-policy', () => {
  test('create makes a policy of flags, of a file, and of both', async () => {
    const flags = await pxctl(
      ...['storage-policy', 'create', 'gold', '-r', 'min:2', '-s', 'max:10', '--sticky', 'on'],
      ...['--io_priority', 'HIGH', '-l', 'tier=gold', '--enforcement', 'reject', '--default'],
      ...['--allow_update', '-p', '60,3', '-w', 'sunday@12:00'],
    );
    expect(flags).toMatchObject({ code: 0, out: 'Storage policy gold successfully created.\n' });
    expect(rulesOf('gold')).toEqual({
      ...base,
      ...{ default: true, enforcement: 'Reject', allowUpdate: true },
      volume: {
        replication: { value: 2, operator: 'Minimum' },
        sizeBytes: { value: 10 * gib, operator: 'Maximum' },
        ...{ sticky: true, ioPriority: 'high', labels: { tier: 'gold' } },
      },
      snapshotSchedule: {
        interval: { intervalMinutes: 60, retain: 3 },
        weekly: { day: 'sunday', time: '12:00', retain: 5 },
      },
    });
    const file = join(directory, 'policy.yaml');
    writeFileSync(file, 'volume:\n  sticky: true\nplacement:\n  replicaAffinity: []\n');
    await pxctl('stp', 'c', 'silver', '-f', file, '-r', '3');
    expect(rulesOf('silver')).toEqual({
      ...base,
      volume: { sticky: true, replication: { value: 3, operator: 'Equal' } },
      placement: { replicaAffinity: [] },
    });
    expect(await pxctl('stp', 'create', 'gold')).toMatchObject({ code: 5, out: '' });
  });

  test('update keeps what is not named', async () => {
    await pxctl('stp', 'create', 'gold', '-r', '2', '-d', '12:00');
    await pxctl('stp', 'update', 'gold', '-p', '30', '-l', 'a=1');
    expect(rulesOf('gold')).toEqual({
      ...base,
      volume: { replication: { value: 2, operator: 'Equal' }, labels: { a: '1' } },
      snapshotSchedule: {
        interval: { intervalMinutes: 30, retain: 5 },
        daily: { time: '12:00', retain: 7 },
      },
    });
    expect((await pxctl('stp', 'update', 'steel', '-r', '2')).code).toBe(3);
  });

  test('set-default takes it from the other first', async () => {
    await pxctl('stp', 'create', 'a', '--default');
    await pxctl('stp', 'create', 'b');
    puts = [];
    expect((await pxctl('stp', 'set-default', 'b')).code).toBe(0);
    expect(puts).toEqual(['a default=false', 'b default=true']);
    await pxctl('stp', 'unset-default');
    expect(puts.at(-1)).toBe('b default=false');
  });

  test('list, inspect and delete show and do what they say', async () => {
    await pxctl('stp', 'create', 'gold', '-r', 'min:2');
    const list = await pxctl('stp', 'list');
    expect(list.out.split('\n').map((line) => line.split(/ {2,}/))).toEqual([
      ['NAME', 'DEFAULT', 'ENFORCEMENT', 'GOVERNED', 'VIOLATIONS', 'CHANGING', 'KEPT BY'],
      ['gold', 'no', 'coerce', '2', '1', '1 (0 wait)', '-'],
      [''],
    ]);
    const { out } = await pxctl('stp', 'inspect', 'gold');
    expect(out).toMatch(/Replicas +: at least 2\n/);
    expect(out).toMatch(/old +volume\.replication +is 1\n/);
    const json = JSON.parse((await pxctl('-j', 'stp', 'inspect', 'gold')).out) as unknown;
    expect(json).toMatchObject([{ name: 'gold', policy: { enforcement: 'Coerce' } }]);
    expect((await pxctl('stp', 'delete', 'gold', '--force')).code).toBe(0);
    expect(deletes).toEqual([{ name: 'gold', owner: '', force: true }]);
    expect((await pxctl('stp', 'inspect', 'gold')).code).toBe(3);
  });

  test.each([
    [['stp', 'create', 'x', '-r', 'two']],
    [['stp', 'create', 'x', '-s', 'min:large']],
    [['stp', 'create', 'x', '--enforcement', 'perhaps']],
    [['stp', 'create', 'x', '-f', '/no/such/file']],
    [['stp', 'create', 'x', '-m', '32@12:00']],
    [['stp', 'create', 'x', '--sticky', 'maybe']],
    [['stp', 'create']],
  ])('%j is refused in one line, and nothing is put', async (args) => {
    const { code, err } = await pxctl(...args);
    expect(code).toBe(2);
    expect(err).toMatch(/^pxctl: [^\n]+\n$/);
    expect(puts).toEqual([]);
  });
});

test('sched-policy list shows the schedules of policies and of volumes', async () => {
  await pxctl('stp', 'create', 'gold', '-p', '60,3');
  const { out } = await pxctl('sched-policy', 'list');
  expect(out.split('\n').map((line) => line.split(/ {2,}/))).toEqual([
    ['OF', 'NAME', 'SCHEDULE (UTC)'],
    ['storage-policy', 'gold', 'periodic=60,3'],
    ['volume', 'a', 'daily=12:00,7'],
    [''],
  ]);
});
