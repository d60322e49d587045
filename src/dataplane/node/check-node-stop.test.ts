import type { VolumeRecord } from '../../kernel/volume-record.js';
import { judgeStop } from './check-node-stop.js';
import { testNode, testState, testVolume } from './testing-cluster.js';

interface Case {
  readonly name: string;
  readonly volumes: readonly VolumeRecord[];
  readonly down?: readonly string[];
  readonly members?: readonly string[];
  readonly engineStays?: boolean;
  /** Undefined: safe. */
  readonly reason?: string;
  readonly atRisk?: readonly string[];
}

const cases: readonly Case[] = [
  { name: 'a node without volumes', volumes: [] },
  { name: 'another copy lives', volumes: [testVolume('v', ['a', 'b'])] },
  {
    name: 'the other copy is on a node that is down',
    volumes: [testVolume('v', ['a', 'b'])],
    down: ['b'],
    reason: 'volume name-v: name-a holds its only in-sync replica on a node that is up',
    atRisk: ['name-v'],
  },
  {
    name: 'the other copy is out, on a node that is down',
    volumes: [testVolume('v', ['a', 'b:out'])],
    down: ['b'],
    engineStays: true,
    reason: 'volume name-v: name-a holds its only in-sync replica on a node that is up',
    atRisk: ['name-v'],
  },
  {
    name: 'a resync reads from it',
    volumes: [testVolume('v', ['a', 'b:out', 'c'])],
    reason:
      'volume name-v: its replica on name-b is being brought up to date; wait until it is in sync',
    atRisk: ['name-v'],
  },
  {
    name: 'a resync writes to it',
    volumes: [testVolume('v', ['a:out', 'b', 'c'])],
    engineStays: true,
    reason:
      'volume name-v: its replica on name-a is being brought up to date; wait until it is in sync',
    atRisk: ['name-v'],
  },
  { name: 'a resync between others', volumes: [testVolume('v', ['b', 'c:out'])] },
  {
    name: 'a single replica',
    volumes: [testVolume('v', ['a'])],
    reason: 'volume name-v: name-a holds its only replica',
    atRisk: ['name-v'],
  },
  {
    name: 'a single replica, and the engine stays',
    volumes: [testVolume('v', ['a'])],
    engineStays: true,
  },
  {
    name: 'a volume that is to have more than the one that it has, and the engine stays',
    volumes: [
      testVolume('v', ['a'], { spec: { ...testVolume('v', []).spec, replicas: 2 } }),
      testVolume('w', ['a', 'b']),
    ],
    engineStays: true,
    reason: 'volume name-v: name-a holds its only replica',
    atRisk: ['name-v'],
  },
  { name: 'a volume that is going', volumes: [testVolume('v', ['a'], { lifecycle: 'deleting' })] },
  { name: 'a kvdb member of three that are up', volumes: [], members: ['a', 'b', 'c'] },
  {
    name: 'a kvdb member, and another is down',
    volumes: [],
    members: ['a', 'b', 'c'],
    down: ['c'],
    engineStays: true,
    reason:
      'the internal kvdb would lose its majority: name-a is one of its 3 members, and name-c is down',
  },
  { name: 'no member, and one is down', volumes: [], members: ['b', 'c', 'd'], down: ['c'] },
  {
    name: 'the only kvdb member',
    volumes: [],
    members: ['a'],
    reason: 'node name-a is the only member of the internal kvdb',
  },
  {
    name: 'the only kvdb member, and the engine stays',
    volumes: [],
    members: ['a'],
    engineStays: true,
  },
];

describe('judgeStop', () => {
  test.each(cases)('$name', ({ volumes, down, members, engineStays, reason, atRisk }) => {
    const nodes = ['a', 'b', 'c', 'd'].map((id) =>
      testNode(id, { kvdbMember: members?.includes(id) === true }),
    );
    const verdict = judgeStop(
      testState(nodes, volumes, down),
      testNode('a', nodes[0]),
      engineStays === true,
    );
    expect(verdict).toEqual({
      safe: reason === undefined,
      reasons: reason === undefined ? [] : [reason],
      volumesAtRisk: atRisk ?? [],
    });
  });

  test('a node that is down already may be stopped, whatever it holds', () => {
    const nodes = ['a', 'b'].map((id) => testNode(id));
    const state = testState(nodes, [testVolume('v', ['a'])], ['a']);
    expect(judgeStop(state, testNode('a'), false)).toEqual({
      safe: true,
      reasons: ['node name-a is down already'],
      volumesAtRisk: [],
    });
  });
});
