import type { ReplicaRecord, VolumeRecord } from '../../kernel/volume-record.js';
import { testReplica, testVolume } from '../node/testing-cluster.js';
import { applyChange } from './record-changes.js';
import { coordinatorHasWork, fulfilled, givenUp, mayLeave, withWish } from './replica-wish.js';

const always = () => true;
const nothing = { cause: 'asked', blocked: '' } as const;

function wished(
  replicas: readonly string[],
  targetCount: number,
  removing: readonly string[],
  added: readonly string[] = [],
): VolumeRecord {
  const record = testVolume('v', replicas);
  const placed = added.map((node): ReplicaRecord => testReplica('v', node));
  const leaving = removing.map((node) => `v-${node}`);
  return withWish(record, { targetCount, removing: leaving, ...nothing }, placed);
}

function inSync(record: VolumeRecord, nodeId: string): VolumeRecord {
  const replicas = record.replicas.map((replica) =>
    replica.nodeId === nodeId ? { ...replica, state: 'in_sync' as const } : replica,
  );
  return { ...record, replicas };
}

const states = (record: VolumeRecord | undefined) =>
  record?.replicas.map(({ nodeId, state }) => `${nodeId}:${state}`);

test('a new replica is out, whatever it was called', () => {
  expect(states(wished(['a', 'b'], 3, [], ['c']))).toEqual(['a:in_sync', 'b:in_sync', 'c:out']);
});

describe('mayLeave', () => {
  test.each([
    ['before the new one is in sync', wished(['a', 'b'], 2, ['a'], ['c']), 'v-a', false],
    ['after it', inSync(wished(['a', 'b'], 2, ['a'], ['c']), 'c'), 'v-a', true],
    [
      'one that is out, while too few are in sync',
      wished(['a', 'b:out'], 2, ['b'], ['c']),
      'v-b',
      false,
    ],
    ['one that nobody wishes away', inSync(wished(['a', 'b'], 2, ['a'], ['c']), 'c'), 'v-b', false],
    ['a smaller count', wished(['a', 'b', 'c'], 2, ['c']), 'v-c', true],
    ['one that was never filled', givenUp(wished(['a', 'b:out'], 3, [], ['c'])), 'v-c', true],
  ] as const)('%s', (_, record, replicaId, expected) => {
    expect(mayLeave(record, replicaId)).toBe(expected);
  });
});

describe('remove_replica', () => {
  const change = { type: 'remove_replica', epoch: 3, replicaId: 'v-c' } as const;
  const leaving = wished(['a', 'b', 'c:out'], 2, ['c']);

  test('leaves a note for the node that has to delete it', () => {
    const result = applyChange(leaving, change);
    if (result.result !== 'changed') throw new Error(result.result);
    expect(states(result.record)).toEqual(['a:in_sync', 'b:in_sync']);
    expect(result.record.leavers).toEqual([{ id: 'v-c', nodeId: 'c', poolId: 'c-pool' }]);
    expect(result.record.replicaWish?.removing).toEqual([]);
    expect(applyChange(result.record, change).result).toBe('already');
    expect(fulfilled(result.record)?.spec.replicas).toBe(2);
    expect(fulfilled(result.record)?.replicaWish).toBeUndefined();
  });

  test('is refused for one that is in sync, or that is to stay, and fenced by a newer epoch', () => {
    expect(applyChange(inSync(leaving, 'c'), change).result).toBe('refused');
    expect(applyChange(givenUp(leaving), change).result).toBe('refused');
    expect(applyChange({ ...leaving, epoch: 4 }, change).result).toBe('fenced');
  });
});

describe('givenUp', () => {
  test('what was filled stays, what was not leaves', () => {
    const record = inSync(wished(['a'], 3, [], ['b', 'c']), 'b');
    const given = givenUp(record);
    expect(given.replicaWish).toMatchObject({ targetCount: 2, removing: ['v-c'] });
    expect(given.spec.replicas).toBe(2);
  });

  test('with nothing to take back the wish is gone', () => {
    const given = givenUp(wished(['a', 'b'], 1, ['b']));
    expect(given.replicaWish).toBeUndefined();
    expect(states(given)).toEqual(['a:in_sync', 'b:in_sync']);
  });
});

describe('fulfilled', () => {
  test.each([
    ['no wish', testVolume('v', ['a']), false],
    ['a replica is still to be filled', wished(['a'], 2, [], ['b']), false],
    ['one is still to leave', inSync(wished(['a', 'b'], 2, ['a'], ['c']), 'c'), false],
    ['one is still to be placed', wished(['a'], 2, []), false],
    ['all there', inSync(wished(['a'], 2, [], ['b']), 'b'), true],
    // It was there before and heals as it would without a wish.
    ['one that is out for another reason', inSync(wished(['a', 'b:out'], 3, [], ['c']), 'c'), true],
  ] as const)('%s', (_, record, expected) => {
    expect(fulfilled(record) !== undefined).toBe(expected);
  });
});

describe('coordinatorHasWork', () => {
  test.each([
    ['nothing is wished and all is in sync', testVolume('v', ['a', 'b']), always, false],
    ['a replica is out', testVolume('v', ['a', 'b:out']), always, true],
    ['it is out and its node is down', testVolume('v', ['a', 'b:out']), isUp('a'), false],
    ['a new one is to be filled', wished(['a'], 2, [], ['b']), always, true],
    ['the new one is on a node that is down', wished(['a'], 2, [], ['b']), isUp('a'), false],
    ['one may leave', wished(['a', 'b'], 1, ['b']), always, true],
    ['one may leave, and its node is down', wished(['a', 'b'], 1, ['b']), isUp('a'), true],
    [
      'one may not leave yet, and the new node is down',
      wished(['a', 'b'], 2, ['b'], ['c']),
      isUp('a', 'b'),
      false,
    ],
  ] as const)('%s', (_, record, up, expected) => {
    expect(coordinatorHasWork(record, up)).toBe(expected);
  });
});

function isUp(...nodes: string[]) {
  return ({ nodeId }: ReplicaRecord) => nodes.includes(nodeId);
}
