import type { VolumeRecord } from '../../kernel/volume-record.js';
import type { ClusterState } from '../cluster/cluster-view.js';
import { givenUp } from '../protocol/replica-wish.js';
import { isLost, nextStep, planWish, type AskedReplicas } from './replica-plan.js';
import { leftNodes } from './replica-mover.js';
import { testNode, testState, testVolume } from './testing-cluster.js';

const now = Date.parse('2030-01-01T01:00:00.000Z');
const rules = { nowMs: now, replaceReplicaAfterMs: 1_800_000 };

/** Nodes a to e, each in a zone of its own but for e, which shares that of a. */
function cluster(volumes: readonly VolumeRecord[], down: readonly string[] = []): ClusterState {
  const nodes = ['a', 'b', 'c', 'd'].map((id) => testNode(id));
  return testState([...nodes, testNode('e', { zone: 'zone-a' })], volumes, down);
}

function plan(record: VolumeRecord, asked: Partial<AskedReplicas>, state = cluster([record])) {
  const wish = { count: 0, add: [], remove: [], cause: 'asked', ...asked } as const;
  return planWish(record, wish, state);
}

const replicas = (record: VolumeRecord | undefined) =>
  record?.replicas.map(({ nodeId, state }) => (state === 'out' ? `${nodeId}:out` : nodeId));
const leaving = (record: VolumeRecord | undefined) =>
  record?.replicas
    .filter(({ id }) => record.replicaWish?.removing.includes(id) === true)
    .map(({ nodeId }) => nodeId);

describe('planWish', () => {
  test.each([
    ['one more, in a zone without one', ['a', 'b'], { count: 3 }, ['a', 'b', 'c:out'], []],
    [
      'one more, where it was asked for',
      ['a', 'b'],
      { count: 3, add: ['e'] },
      ['a', 'b', 'e:out'],
      [],
    ],
    ['one less: the one that crowds a zone', ['a', 'b', 'e'], { count: 2 }, ['a', 'b', 'e'], ['e']],
    [
      'one less: the one that is out',
      ['a', 'b:out', 'c'],
      { count: 2 },
      ['a', 'b:out', 'c'],
      ['b'],
    ],
    [
      'one less: that which was asked for',
      ['a', 'b', 'c'],
      { count: 2, remove: ['a'] },
      ['a', 'b', 'c'],
      ['a'],
    ],
    ['off a node', ['a', 'b'], { remove: ['a'] }, ['a', 'b', 'c:out'], ['a']],
    [
      'from one node to another',
      ['a', 'b'],
      { add: ['d'], remove: ['a'] },
      ['a', 'b', 'd:out'],
      ['a'],
    ],
    ['to a node, and off whichever', ['a', 'b'], { add: ['d'] }, ['a', 'b', 'd:out'], ['b']],
    ['the only one', ['a'], { remove: ['a'] }, ['a', 'b:out'], ['a']],
  ] as const)('%s', (_, has, asked, expected, expectedLeaving) => {
    const planned = plan(testVolume('v', has), asked);
    expect(replicas(planned)).toEqual(expected);
    expect(leaving(planned)).toEqual(expectedLeaving);
  });

  test('the node where the volume is used is the last one to be left', () => {
    const record = testVolume('v', ['a', 'b', 'c'], { attachedOn: 'c' });
    expect(leaving(plan(record, { count: 1 }))).not.toContain('c');
  });

  test('the same wish twice is one, and another one is refused while it is at work', () => {
    const wished = plan(testVolume('v', ['a', 'b']), { count: 3, add: ['d'] });
    if (wished === undefined) throw new Error('nothing was wished');
    expect(plan(wished, { count: 3 })).toBeUndefined();
    expect(plan(wished, { count: 3, add: ['d'] })).toBeUndefined();
    expect(() => plan(wished, { count: 2 })).toThrow(/being changed already/);
    expect(() => plan(wished, { count: 3, add: ['c'] })).toThrow(/being changed already/);
    expect(plan(testVolume('v', ['a', 'b']), { count: 2, remove: ['d'] })).toBeUndefined();
  });

  test("a wish that is fulfilled, and not ended yet, is in nobody's way", () => {
    const wish = { targetCount: 2, removing: [], added: ['v-b'], blocked: '' };
    const record = testVolume('v', ['a', 'b'], { replicaWish: { ...wish, cause: 'drain' } });
    const planned = plan(record, { count: 3 });
    expect(replicas(planned)).toEqual(['a', 'b', 'c:out']);
    expect(planned?.replicaWish).toMatchObject({ cause: 'asked', added: [expect.any(String)] });
    expect(plan(record, { count: 2 })).toBeUndefined();
  });

  test.each([
    [{ count: 6 }, /count: must be 1 to 5, and is 6/],
    [{ count: 1, add: ['c', 'd'] }, /add_nodes: names 2 nodes for 1 replica/],
    [{ count: 5, remove: ['a'] }, /1 replica\(s\).* can be placed|replica\(s\) on distinct nodes/],
  ] as const)('refuses %j', (asked, message) => {
    expect(() => plan(testVolume('v', ['a', 'b']), asked)).toThrow(message);
  });

  test('a node in maintenance, or one that a replica of it has still to be deleted from, gets none', () => {
    const record = testVolume('v', ['a', 'b'], {
      leavers: [{ id: 'x', nodeId: 'c', poolId: 'p' }],
    });
    const flags = new Map([['d', { maintenance: true, decommission: '' as const }]]);
    expect(replicas(plan(record, { count: 3 }, { ...cluster([record]), flags }))).toEqual([
      'a',
      'b',
      'e:out',
    ]);
  });

  test('the nodes named at creation are preferred, and no more than that', () => {
    const spec = { ...testVolume('v', ['a', 'b']).spec, nodes: ['a', 'b', 'd'] };
    expect(replicas(plan(testVolume('v', ['a', 'b'], { spec }), { count: 3 }))).toContain('d:out');
    const only = { ...spec, nodes: ['a', 'b'] };
    expect(replicas(plan(testVolume('v', ['a', 'b'], { spec: only }), { count: 3 }))).toContain(
      'c:out',
    );
  });
});

test('a snapshot and its volume are kept together where they can be', () => {
  const volume = testVolume('v', ['a', 'd']);
  const snapshot = testVolume('s', ['a', 'b'], { parentId: 'v', readOnly: true });
  const state = cluster([volume, snapshot]);
  expect(replicas(plan(snapshot, { remove: ['a'] }, state))).toEqual(['a', 'b', 'd:out']);
  expect(replicas(plan(volume, { remove: ['a'] }, state))).toEqual(['a', 'd', 'b:out']);
});

describe('isLost', () => {
  const old = testNode('a', { updatedAt: '2030-01-01T00:29:00.000Z' });
  const recent = testNode('b', { updatedAt: '2030-01-01T00:31:00.000Z' });
  const state = testState([old, recent], [], ['a', 'b']);
  const maintained = new Map([['a', { maintenance: true, decommission: '' as const }]]);

  test.each([
    ['down for longer', 'a', state, true],
    ['down for less long', 'b', state, false],
    ['alive', 'a', testState([old], []), false],
    ['in maintenance', 'a', { ...state, flags: maintained }, false],
    ['gone for good', 'z', state, true],
  ] as const)('%s', (_, nodeId, given, expected) => {
    expect(isLost(nodeId, given, rules)).toBe(expected);
  });
});

describe('leftNodes', () => {
  const flags = new Map([['a', { maintenance: false, decommission: 'leave' as const }]]);
  test.each([
    ['on a node that is emptied', testVolume('v', ['a', 'b']), [], ['a']],
    ['elsewhere', testVolume('v', ['b', 'c']), [], []],
    ['nobody has its content now', testVolume('v', ['a', 'b:out']), ['a'], []],
    ['a wish is at work', givenWish(), [], []],
  ] as const)('%s', (_, record, down, expected) => {
    const state = { ...cluster([record], down), flags };
    expect(leftNodes(record, state, 'drain', rules)).toEqual(expected);
  });
});

function givenWish(): VolumeRecord {
  const wished = plan(testVolume('v', ['a', 'b']), { count: 3 });
  if (wished === undefined) throw new Error('nothing was wished');
  return wished;
}

describe('nextStep', () => {
  const long = '2030-01-01T00:00:00.000Z';

  test('a new replica whose node is lost is placed elsewhere', () => {
    const wished = givenWish();
    const nodes = ['a', 'b', 'c', 'd'].map((id) => testNode(id, { updatedAt: long }));
    const state = testState(nodes, [wished], ['c']);
    const without = nextStep(wished, state, rules);
    expect(leaving(without)).toEqual(['c']);
    if (without === undefined) throw new Error('nothing was done');
    expect(replicas(nextStep(without, state, rules))).toEqual(['a', 'b', 'c:out', 'd:out']);
  });

  test('says once why nothing can be placed, and places when it can', () => {
    const wished = givenWish();
    const [c] = wished.replicas.slice(2);
    const removing = c === undefined ? [] : [c.id];
    const lacking = { ...wished, replicaWish: { ...wished.replicaWish!, removing } };
    const few = testState(
      ['a', 'b', 'c'].map((id) => testNode(id)),
      [lacking],
    );
    const blocked = nextStep(lacking, few, rules);
    expect(blocked?.replicaWish?.blocked).toContain('0 can be placed');
    if (blocked === undefined) throw new Error('nothing was done');
    expect(nextStep(blocked, few, rules)).toBeUndefined();
    const placed = nextStep(blocked, cluster([blocked]), rules);
    expect(placed?.replicaWish?.blocked).toBe('');
    expect(replicas(placed)).toContain('d:out');
  });

  test('a lost replica that comes back before it was replaced stays', () => {
    const record = testVolume('v', ['a', 'b:out']);
    const wished = plan(record, { remove: ['b'], cause: 'loss' });
    if (wished === undefined) throw new Error('nothing was wished');
    expect(nextStep(wished, cluster([wished]), rules)).toBeUndefined();
    const back = {
      ...wished,
      replicas: wished.replicas.map((each) =>
        each.nodeId === 'b' ? { ...each, state: 'in_sync' as const } : each,
      ),
    };
    expect(nextStep(back, cluster([back]), rules)).toEqual(givenUp(back));
    expect(leaving(givenUp(back))).toEqual(['c']);
  });
});
