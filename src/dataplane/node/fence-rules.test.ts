import { confirmed, isHeldBy, takenFrom, whyWithoutWitness, witnesses } from './fence-rules.js';
import { testNode, testState, testVolume } from './testing-cluster.js';

const attached = { attachedOn: 'a', attachToken: 't', publishedOn: 'a' };

describe('takenFrom', () => {
  test('an attach and its reservation end under a newer epoch', () => {
    const record = testVolume('v', ['a', 'b'], { ...attached, reservedByAttach: true });
    const taken = takenFrom(record, 'a');
    expect(taken).toEqual({
      ...testVolume('v', ['a', 'b']),
      epoch: record.epoch + 1,
      fence: { nodeId: 'a', epoch: record.epoch + 1, confirmed: false },
    });
  });

  test('a reservation alone is fenced too: an attach may be on its way, or a dead one unnoticed', () => {
    const record = testVolume('v', ['a', 'b'], { publishedOn: 'a', publishedReadOnly: true });
    expect(takenFrom(record, 'a')).toMatchObject({
      publishedOn: '',
      publishedReadOnly: false,
      epoch: 4,
    });
  });

  test('whoever else is attached goes on', () => {
    const record = testVolume('v', ['a', 'b'], {
      attachedOn: 'b',
      attachToken: 't',
      publishedOn: 'a',
    });
    expect(takenFrom(record, 'a')).toEqual({ ...record, publishedOn: '' });
    expect(
      takenFrom(testVolume('v', ['a', 'b'], { attachedOn: 'b', publishedOn: 'b' }), 'a'),
    ).toBeUndefined();
  });

  test('twice is once', () => {
    const taken = takenFrom(testVolume('v', ['a', 'b'], attached), 'a');
    expect(taken === undefined ? undefined : takenFrom(taken, 'a')).toBeUndefined();
  });

  test('a deleted volume is fenced by its deletion', () => {
    const record = testVolume('v', ['a'], { ...attached, lifecycle: 'deleting' });
    expect(takenFrom(record, 'a')).toBeUndefined();
    expect(isHeldBy(record, 'a')).toBe(false);
  });
});

describe('what stays to be done', () => {
  test('a fence is open until it is confirmed, also under a later attach', () => {
    const taken = takenFrom(testVolume('v', ['a', 'b'], attached), 'a') ?? testVolume('v', []);
    expect(isHeldBy(taken, 'a')).toBe(true);
    expect(isHeldBy({ ...taken, epoch: 9, attachedOn: 'b' }, 'a')).toBe(true);
    const done = confirmed(taken, 'a') ?? taken;
    expect(done.fence?.confirmed).toBe(true);
    expect(isHeldBy(done, 'a')).toBe(false);
    expect(confirmed(done, 'a')).toBeUndefined();
    expect(confirmed(taken, 'b')).toBeUndefined();
  });

  test('only in-sync replicas on nodes that live bear witness', () => {
    const nodes = ['a', 'b', 'c'].map((id) => testNode(id));
    const record = testVolume('v', ['a', 'b', 'c:out']);
    expect(witnesses(record, testState(nodes, [record], ['a']))).toEqual(['b']);
    const nobody = testState(nodes, [record], ['a', 'b']);
    expect(witnesses(record, nobody)).toEqual([]);
    expect(whyWithoutWitness(record, nobody)).toBe(
      'its in-sync replicas are only on name-a, name-b, which are down',
    );
  });
});
