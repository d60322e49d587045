import type { ReplicaRecord, VolumeRecord } from '../../kernel/volume-record.js';
import { applyChange } from './record-changes.js';

function record(states: readonly ReplicaRecord['state'][], epoch = 3): VolumeRecord {
  return {
    id: 'v',
    name: 'volume',
    lifecycle: 'ready',
    sizeBytes: 1 << 30,
    createdAt: '2026-01-01T00:00:00Z',
    readOnly: false,
    parentId: '',
    replicas: states.map((state, index) => ({
      id: `r${index}`,
      nodeId: `n${index}`,
      poolId: 'p',
      state,
    })),
    epoch,
    attachedOn: 'n0',
    attachToken: 'token-3',
    publishedOn: '',
    publishedReadOnly: false,
  } as unknown as VolumeRecord;
}

const statesOf = (changed: VolumeRecord): string[] =>
  changed.replicas.map((replica) => replica.state);

test('an attach raises the epoch and names its owner', () => {
  const change = { type: 'attach', nodeId: 'n1', token: 'mine', seenEpoch: 3 } as const;
  const result = applyChange(record(['in_sync']), change);
  expect(result).toMatchObject({
    result: 'changed',
    record: { epoch: 4, attachedOn: 'n1', attachToken: 'mine' },
  });
});

test('an attach whose answer was lost is recognised, one that lost the race is fenced', () => {
  const again = { type: 'attach', nodeId: 'n0', token: 'token-3', seenEpoch: 2 } as const;
  expect(applyChange(record(['in_sync']), again).result).toBe('already');
  const late = { type: 'attach', nodeId: 'n1', token: 'other', seenEpoch: 2 } as const;
  expect(applyChange(record(['in_sync']), late).result).toBe('fenced');
});

test.each(['creating', 'deleting'] as const)(
  'a volume that is %s cannot be attached',
  (lifecycle) => {
    const change = { type: 'attach', nodeId: 'n1', token: 'mine', seenEpoch: 3 } as const;
    expect(applyChange({ ...record(['in_sync']), lifecycle }, change).result).toBe('refused');
  },
);

test('taking replicas out leaves the others as they are', () => {
  const change = { type: 'remove_in_sync', epoch: 3, replicaIds: ['r1'] } as const;
  const result = applyChange(record(['in_sync', 'in_sync', 'out']), change);
  expect(result.result === 'changed' && statesOf(result.record)).toEqual(['in_sync', 'out', 'out']);
});

test('the last in-sync replica is never taken out', () => {
  const change = { type: 'remove_in_sync', epoch: 3, replicaIds: ['r0'] } as const;
  expect(applyChange(record(['in_sync', 'out']), change).result).toBe('refused');
});

test('a replica is added once, and not after it was removed from the volume', () => {
  const add = (replicaId: string) => ({ type: 'add_in_sync', epoch: 3, replicaId }) as const;
  const result = applyChange(record(['in_sync', 'out']), add('r1'));
  expect(result.result === 'changed' && statesOf(result.record)).toEqual(['in_sync', 'in_sync']);
  expect(applyChange(record(['in_sync', 'in_sync']), add('r1')).result).toBe('already');
  expect(applyChange(record(['in_sync']), add('r1')).result).toBe('refused');
});

test.each([
  { type: 'remove_in_sync', epoch: 2, replicaIds: ['r1'] },
  { type: 'add_in_sync', epoch: 2, replicaId: 'r1' },
  { type: 'detach', epoch: 2 },
] as const)('an older epoch may not $type', (change) => {
  expect(applyChange(record(['in_sync', 'in_sync']), change).result).toBe('fenced');
});
