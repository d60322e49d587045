import { chooseMembers, memberProblems, readMembers, writeMembers } from './kvdb-members.js';
import { testNode } from './testing-observed.js';

const inZone = (name: string, zone: string, ready = true) =>
  testNode(name, { labels: { 'topology.kubernetes.io/zone': zone }, ready });

const late = 1_000_000;

function chosen(nodes: Parameters<typeof chooseMembers>[0], waitedMs = late): string[] | string {
  const choice = chooseMembers(nodes, waitedMs);
  return 'wait' in choice ? choice.wait : choice.members.map(({ node }) => node);
}

describe('the members', () => {
  it.each([
    ['one node', [inZone('node-1', 'a')], ['node-1']],
    [
      'two nodes: the second would only be one more to lose',
      [inZone('node-2', 'a'), inZone('node-1', 'b')],
      ['node-1'],
    ],
    [
      'three nodes',
      [inZone('node-3', 'a'), inZone('node-1', 'a'), inZone('node-2', 'a')],
      ['node-1', 'node-2', 'node-3'],
    ],
    [
      'a zone each before a second of one',
      [inZone('node-1', 'a'), inZone('node-2', 'a'), inZone('node-3', 'b'), inZone('node-4', 'c')],
      ['node-1', 'node-3', 'node-4'],
    ],
    [
      'two zones',
      [inZone('node-1', 'a'), inZone('node-2', 'a'), inZone('node-3', 'a'), inZone('node-4', 'b')],
      ['node-1', 'node-4', 'node-2'],
    ],
    [
      'not a node that is not ready',
      [
        inZone('node-1', 'a', false),
        inZone('node-2', 'a'),
        inZone('node-3', 'a'),
        inZone('node-4', 'a'),
      ],
      ['node-2', 'node-3', 'node-4'],
    ],
  ])('%s', (_, nodes, expected) => {
    expect(chosen(nodes)).toEqual(expected);
  });

  it('waits a while for a third node that is about to come', () => {
    const nodes = [inZone('node-1', 'a'), inZone('node-2', 'a'), inZone('node-3', 'a', false)];
    expect(chosen(nodes, 1_000)).toBe('waiting for node-3 to be ready');
    expect(chosen(nodes)).toEqual(['node-1']);
  });

  it('waits as long as no node is ready', () => {
    expect(chosen([inZone('node-1', 'a', false)])).toBe('no node that may run px is ready');
  });
});

it('reads what it wrote, and nothing from what it did not', () => {
  const members = [{ node: 'node-1', address: '10.0.0.1' }];
  expect(readMembers(writeMembers(members))).toEqual(members);
  expect(readMembers(undefined)).toEqual([]);
  expect(readMembers({ 'members.json': '[{"node":1}]' })).toEqual([]);
});

it('names a member whose node is gone, or is elsewhere', () => {
  const members = [
    { node: 'node-1', address: '10.0.0.1' },
    { node: 'node-2', address: '10.9.9.9' },
    { node: 'node-3', address: '10.0.0.3' },
  ];
  expect(memberProblems(members, [testNode('node-1'), testNode('node-2')])).toEqual([
    'node node-2, a member of the key-value store at 10.9.9.9, has the address 10.0.0.2 now',
    'node node-3, a member of the key-value store, is no longer in the cluster',
  ]);
});
