import {
  chooseMembers,
  memberProblems,
  readMembers,
  replaceMember,
  wasReplaced,
  writeMembers,
} from './kvdb-members.js';
import type { KubeNode } from './kubernetes-types.js';
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
  expect(readMembers(writeMembers(members, false))).toEqual(members);
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

describe('a member that is gone for good', () => {
  const members = ['node-1', 'node-2', 'node-3'].map((node) => ({
    node,
    address: `10.0.0.${node.slice(-1)}`,
  }));
  const nodes = (...list: readonly ReturnType<typeof testNode>[]) => list;
  const [one, two, three, four] = ['a', 'b', 'c', 'c'].map((zone, index) =>
    inZone(`node-${index + 1}`, zone),
  ) as [KubeNode, KubeNode, KubeNode, KubeNode];
  const five = inZone('node-5', 'a');
  const leaving = testNode('node-3', { labels: { 'px.io/decommissioned': 'true' } });
  const after = (list: readonly KubeNode[], eligible = list) =>
    replaceMember(members, list, eligible)?.members.map(({ node }) => node);

  it.each<[string, readonly KubeNode[], readonly string[] | undefined]>([
    ['nobody is gone', nodes(one, two, three, four), undefined],
    ['its node is no more', nodes(one, two, four), ['node-1', 'node-2', 'node-4']],
    ['a free zone comes first', nodes(one, two, five, four), ['node-1', 'node-2', 'node-4']],
    ['any zone, if none is free', nodes(one, two, five), ['node-1', 'node-2', 'node-5']],
    ['it was decommissioned', nodes(one, two, leaving, four), ['node-1', 'node-2', 'node-4']],
    ['no other node is there', nodes(one, two), undefined],
    ['two are gone: no majority could take one in', nodes(one, four, five), undefined],
    ['another is not ready', nodes(one, inZone('node-2', 'b', false), four), undefined],
    ['the successor is not ready', nodes(one, two, inZone('node-4', 'c', false)), undefined],
  ])('%s', (_, list, expected) => {
    expect(after(list)).toEqual(expected);
  });

  it('is not away for good while its node is only not ready', () => {
    expect(after(nodes(one, two, inZone('node-3', 'c', false), four))).toBeUndefined();
  });

  it('goes on at the new address of its node', () => {
    const moved = testNode('node-3', { address: '10.9.9.9' });
    const found = replaceMember(members, [one, two, moved, four], [one, two, moved, four]);
    expect(found?.members[2]).toEqual({ node: 'node-3', address: '10.9.9.9' });
    expect(found?.why).toBe('node-3 (10.0.0.3) is replaced by node-3 (10.9.9.9)');
  });

  it('is never replaced where it is the only one', () => {
    expect(replaceMember(members.slice(0, 1), [two, four], [two, four])).toBeUndefined();
  });

  it('leaves a mark that a store exists', () => {
    expect(wasReplaced(writeMembers(members, true))).toBe(true);
    expect(wasReplaced(writeMembers(members, false))).toBe(false);
    expect(wasReplaced(undefined)).toBe(false);
  });
});
