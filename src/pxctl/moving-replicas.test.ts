import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { DecommissionNodeResponse } from '../gen/px/v1/DecommissionNodeResponse.js';
import type { NodeDefinition } from '../gen/px/v1/Node.js';
import type { Volume } from '../gen/px/v1/Volume.js';
import type { ProtoGrpcType } from '../gen/px.js';
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
  | 'UpdateReplicas'
  | 'SetMaintenance'
  | 'DecommissionNode'
  | 'CancelDecommission'
  | 'FenceNode'
>;

const protoDir = join(process.cwd(), 'proto');
const directory = mkdtempSync(join(tmpdir(), 'pxctl-moves-'));
const endpoint = `unix://${directory}/px-node.sock`;
const volume: Volume = {
  ...{ id: 'id-1', name: 'vol1', status: 'up', state: 'detached' },
  replicas: [
    { id: 'r1', node_id: 'node-1', node_name: 'n1', state: 'in_sync' },
    {
      ...{ id: 'r2', node_id: 'node-2', node_name: 'n2', state: 'resync' },
      ...{ resync_bytes_done: 25, resync_bytes_total: 100 },
    },
  ],
};
let server: RunningServer;
let answered: Volume;
let progress: DecommissionNodeResponse[];
let calls: [name: string, request: object][];

beforeAll(async () => {
  const loaded = loadProto(protoDir, 'px.proto') as unknown as ProtoGrpcType;
  const note = (name: string, request: object) => void calls.push([name, request]);
  const served = unaryService<Served>(
    loaded.px.v1.Node.service,
    {
      GetStatus: async () => ({ id: 'node-1', name: 'n1' }),
      ListNodes: async () => ({
        nodes: [
          { id: 'node-1', name: 'n1' },
          { id: 'node-2', name: 'n2' },
        ],
      }),
      UpdateReplicas: async (request) => {
        note('UpdateReplicas', request);
        return answered;
      },
      SetMaintenance: async (request) => {
        note('SetMaintenance', request);
        return { id: 'node-1', name: 'n1', maintenance: request.enter };
      },
      DecommissionNode: async (request) => {
        note('DecommissionNode', request);
        return progress.shift() ?? { state: 'done' };
      },
      CancelDecommission: async (request) => {
        note('CancelDecommission', request);
        return { id: 'node-2', name: 'n2' };
      },
      FenceNode: async (request) => {
        note('FenceNode', request);
        return { fenced: true };
      },
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
  answered = volume;
  progress = [];
  calls = [];
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

describe('volume ha-update', () => {
  test('asks for what the flags say and shows how far it is', async () => {
    answered = {
      ...volume,
      replica_change: {
        ...{ target_count: 2, adding_nodes: ['node-2'], removing_nodes: ['node-3'] },
        ...{ state: 'filling', reason: '' },
      },
    };
    const flags = ['--repl', '2', '--node', 'n2', '--remove-node', 'n3,n4'];
    const { code, out } = await pxctl('volume', 'ha-update', 'vol1', ...flags);
    expect(code).toBe(0);
    expect(out).toContain(
      'Volume vol1: filling, to have 2 replica(s); new on n2; leaving node-3 (25 % (25 B of 100 B))',
    );
    expect(calls).toEqual([
      [
        'UpdateReplicas',
        {
          ...{ id_or_name: 'vol1', count: 2, add_nodes: ['n2'], remove_nodes: ['n3', 'n4'] },
          cancel: false,
        },
      ],
    ]);
  });

  test('has the change in its JSON, null when there is none', async () => {
    const { out } = await pxctl('-j', 'v', 'ha-update', 'vol1', '--cancel');
    expect(JSON.parse(out)).toMatchObject([{ id: 'id-1', replica_change: null }]);
    expect(calls).toMatchObject([['UpdateReplicas', { cancel: true, count: 0 }]]);
  });

  test.each([
    [[], 'give --repl, --node or --remove-node, or --cancel alone'],
    [['--cancel', '--repl', '2'], 'or --cancel alone'],
    [['--repl', '6'], '--repl "6": allowed are 1 to 5'],
    [['--repl', '2', '--zones', 'z1'], '--zones: this release has no choice of zones'],
  ])('refuses %j', async (flags, message) => {
    const { code, err } = await pxctl('volume', 'ha-update', 'vol1', ...flags);
    expect(code).toBe(2);
    expect(err).toContain(message);
    expect(calls).toEqual([]);
  });
});

describe('cluster delete and drain', () => {
  test('shows the progress, and by its exit code that it is blocked', async () => {
    progress = [
      { state: 'moving', replicas_left: 4 },
      { state: 'blocked', replicas_left: 1, reasons: ['volume v: no place'] },
    ];
    const moving = await pxctl('cluster', 'delete', 'n2');
    expect(moving).toMatchObject({ code: 0 });
    expect(moving.out).toContain('Node n2 is being emptied: 4 replica(s) are left.');
    const blocked = await pxctl('cluster', 'delete', 'n2');
    expect(blocked).toMatchObject({ code: 5 });
    expect(blocked.out).toContain('1 replica(s) are left.\n  volume v: no place');
    const done = await pxctl('cluster', 'delete', 'n2');
    expect(done).toMatchObject({ code: 0, out: 'Node n2 was removed.\n' });
    expect(calls.map(([, request]) => request)).toEqual(
      Array.from({ length: 3 }, () => ({ node_id: 'n2', keep_node: false })),
    );
  });

  test('waits when asked to', async () => {
    progress = [{ state: 'moving', replicas_left: 1 }];
    const { out } = await pxctl('cluster', 'drain', 'n2', '--wait');
    expect(out).toBe('Node n2 holds no replicas any more.\n');
    expect(calls).toHaveLength(2);
  });

  test('fences only by force, and cancels', async () => {
    await pxctl('cluster', 'delete', 'n2', '--force');
    expect(calls[0]).toEqual(['FenceNode', { node_id: 'n2', force: true }]);
    const { out } = await pxctl('cluster', 'drain', 'n2', '--cancel');
    expect(out).toBe('Replicas may be placed on n2 again.\n');
    expect(calls.at(-1)).toEqual(['CancelDecommission', { node_id: 'n2' }]);
  });
});

test('service maintenance is of this node', async () => {
  expect((await pxctl('service', 'maintenance', '--enter')).out).toBe(
    'Node n1 is in maintenance.\n',
  );
  expect((await pxctl('sv', 'maintenance', '--exit')).out).toBe('Node n1 is out of maintenance.\n');
  expect(calls.map(([, request]) => request)).toEqual([
    { node_id: 'node-1', enter: true },
    { node_id: 'node-1', enter: false },
  ]);
  const both = await pxctl('service', 'maintenance', '--enter', '--exit');
  expect(both).toMatchObject({ code: 2 });
});
