import { GroupCommit } from './group-commit.js';
import { ringBytes, SharedRing } from './shared-ring.js';

function ring(capacity: number): SharedRing {
  return new SharedRing(new SharedArrayBuffer(ringBytes(capacity)), 0, capacity, true);
}

test('a ring keeps the order, says when it is full, and goes round', () => {
  const queue = ring(4);
  for (let round = 0; round < 10; round++) {
    expect(queue.take()).toBe(false);
    for (let item = 0; item < 4; item++) expect(queue.push(round, item, item - 4, 7)).toBe(true);
    expect(queue.push(9, 9, 9, 9)).toBe(false);
    for (let item = 0; item < 4; item++) {
      expect(queue.take()).toBe(true);
      expect([...queue.item]).toEqual([round, item, item - 4, 7]);
    }
  }
});

test('a sleeper that looked before the push is not lost', () => {
  const queue = ring(4);
  const seen = queue.signal();
  queue.push(1, 2, 3, 4);
  queue.wake(1);
  // Sleeping on a signal that has been raised since returns at once.
  queue.sleep(seen);
  expect(queue.take()).toBe(true);
});

test('a group commit: one at a time, those who come meanwhile share the next', () => {
  const group = new GroupCommit();
  expect(group.add(1)).toBe(true);
  expect(group.add(2)).toBe(false);
  expect(group.add(3)).toBe(false);
  const first = group.finish();
  expect(first).toEqual([1]);
  expect(group.busy).toBe(true);
  group.recycle(first);
  expect(group.add(4)).toBe(false);
  const second = group.finish();
  expect(second).toEqual([2, 3]);
  // Asked for while the finished ones are being answered.
  expect(group.add(5)).toBe(false);
  group.recycle(second);
  const third = group.finish();
  expect(third).toEqual([4]);
  group.recycle(third);
  expect(group.finish()).toEqual([5]);
  expect(group.busy).toBe(false);
  expect(group.add(6)).toBe(true);
});
