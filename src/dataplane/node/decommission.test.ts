import type { VolumeRecord } from '../../kernel/volume-record.js';
import { silentLogger } from '../../platform/logger.js';
import type { ClusterState } from '../cluster/cluster-view.js';
import type { NodeContext } from './context.js';
import { decommissionNode, progressOf } from './decommission.js';
import { planWish } from './replica-plan.js';
import { testNode, testState, testVolume } from './testing-cluster.js';

interface Case {
  readonly name: string;
  readonly volumes: readonly VolumeRecord[];
  readonly down?: readonly string[];
  readonly nodes?: readonly string[];
  readonly member?: boolean;
  readonly keep?: boolean;
  readonly state: string;
  readonly left: number;
  readonly reason?: string;
}

const nodesOf = (ids: readonly string[], member: boolean) =>
  ids.map((id) => testNode(id, { kvdbMember: member && id === 'a' }));

function clusterOf({ volumes, down, nodes, member, keep }: Case): ClusterState {
  const all = nodesOf(nodes ?? ['a', 'b', 'c'], member === true);
  const decommission = keep === true ? 'drain' : 'leave';
  const flags = new Map([['a', { maintenance: false, decommission } as const]]);
  return { ...testState(all, volumes, down), flags };
}

function moving(): VolumeRecord {
  const record = testVolume('v', ['a', 'b']);
  const state = testState(nodesOf(['a', 'b', 'c'], false), [record]);
  const asked = { count: 0, add: [], remove: ['a'], cause: 'drain' } as const;
  return planWish(record, asked, state) ?? record;
}

/** The moment after a replica has moved off another node, before anybody noted that it is done. */
function fulfilledWish(): VolumeRecord {
  const wish = { targetCount: 2, removing: [], added: ['v-a'], blocked: '' };
  return testVolume('v', ['a', 'b'], { replicaWish: { ...wish, cause: 'drain' } });
}

const cases: readonly Case[] = [
  { name: 'nothing lies there', volumes: [testVolume('v', ['b'])], state: 'done', left: 0 },
  { name: 'its turn comes', volumes: [testVolume('v', ['a', 'b'])], state: 'moving', left: 1 },
  { name: 'a replica is moving', volumes: [moving()], state: 'moving', left: 1 },
  {
    name: 'no other node',
    volumes: [testVolume('v', ['a', 'b'])],
    nodes: ['a', 'b'],
    state: 'blocked',
    left: 1,
    reason: 'volume name-v: 1 replica(s) on distinct nodes are asked for and 0 can be placed',
  },
  {
    name: 'no other node, and a wish that is fulfilled has not been ended yet',
    volumes: [fulfilledWish()],
    nodes: ['a', 'b'],
    state: 'blocked',
    left: 1,
    reason: 'volume name-v: 1 replica(s) on distinct nodes are asked for and 0 can be placed',
  },
  {
    name: 'one is stuck while another moves',
    volumes: [moving(), testVolume('w', ['a', 'b', 'c'])],
    state: 'moving',
    left: 2,
    reason: 'volume name-w: 1 replica(s) on distinct nodes',
  },
  {
    name: 'a dead node with the only copy',
    volumes: [testVolume('v', ['a', 'b:out'])],
    down: ['a'],
    state: 'blocked',
    left: 1,
    reason:
      'volume name-v: no node with an in-sync replica is up: bring one back, or delete the volume',
  },
  {
    name: 'content that it has still to delete',
    volumes: [testVolume('v', ['b'], { leavers: [{ id: 'x', nodeId: 'a', poolId: 'p' }] })],
    state: 'moving',
    left: 1,
  },
  {
    name: 'content that a dead node will never delete',
    volumes: [
      testVolume('v', ['b'], { leavers: [{ id: 'x', nodeId: 'a', poolId: 'p' }] }),
      testVolume('w', ['a'], { lifecycle: 'deleting' }),
    ],
    down: ['a'],
    state: 'done',
    left: 0,
  },
  {
    name: 'a volume in use there',
    volumes: [testVolume('v', ['b'], { attachedOn: 'a', publishedOn: 'a' })],
    state: 'blocked',
    left: 0,
    reason: 'volume name-v: is attached on or reserved for name-a; end its use there',
  },
  {
    name: 'a volume in use there, and the node stays',
    volumes: [testVolume('v', ['b'], { attachedOn: 'a', publishedOn: 'a' })],
    keep: true,
    state: 'done',
    left: 0,
  },
  {
    name: 'a member of the internal kvdb',
    volumes: [],
    member: true,
    state: 'blocked',
    left: 0,
    reason: 'name-a is a member of the internal kvdb',
  },
];

test.each(cases)('$name', (given) => {
  const cluster = clusterOf(given);
  const progress = progressOf(testNode('a', cluster.nodes.get('a')), cluster);
  expect(progress).toMatchObject({ state: given.state, replicas_left: given.left });
  if (given.reason === undefined) expect(progress.reasons).toEqual([]);
  else expect(progress.reasons?.join('\n')).toContain(given.reason);
});

describe('what the call answers', () => {
  /** Each look finds the next of these volumes' places; the last ones stay. */
  function contextOf(looks: readonly (readonly string[])[]) {
    const txn = jest.fn(() => Promise.resolve({ outcome: 'ok' }));
    let look = 0;
    const fresh = () => {
      const replicas = looks[Math.min(look++, looks.length - 1)] ?? [];
      return Promise.resolve(
        clusterOf({ name: '', volumes: [testVolume('v', replicas)], state: '', left: 0 }),
      );
    };
    const flags = JSON.stringify({ maintenance: false, decommission: 'leave' });
    const context = {
      kvdb: { get: () => Promise.resolve({ value: flags, modRevision: 1 }), txn },
      keys: { nodeFlags: 'flags/', removedNodes: 'removed/', node: (id: string) => `nodes/${id}` },
      view: { fresh },
      logger: silentLogger,
    };
    return { context: context as unknown as NodeContext, txn };
  }

  const request = { node_id: 'a', keep_node: false };

  test('is done only with the node removed, though its last replica goes meanwhile', async () => {
    const { context, txn } = contextOf([
      ['a', 'b'],
      ['a', 'b'],
      ['b', 'c'],
    ]);
    await expect(decommissionNode(context, request)).resolves.toMatchObject({ state: 'moving' });
    expect(txn).not.toHaveBeenCalled();
    await expect(decommissionNode(context, request)).resolves.toMatchObject({ state: 'done' });
    expect(txn).toHaveBeenCalledTimes(1);
  });

  test('is an error when nobody knows whether the node was removed', async () => {
    const { context, txn } = contextOf([['b', 'c']]);
    txn.mockResolvedValue({ outcome: 'unknown' });
    await expect(decommissionNode(context, request)).rejects.toMatchObject({
      code: 'kvdb_unavailable',
    });
  });
});
