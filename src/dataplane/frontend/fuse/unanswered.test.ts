import { mapFile, createMemoryFile } from '../../sys/memory.js';
import { NativeSlotTable } from '../../io/slot-table.js';
import { requestBytes } from './fuse-wire.js';
import { kernelResends, tagSlot, UnansweredRequests } from './unanswered.js';

test('requests of an earlier process are found by their mount, the rest is freed', () => {
  const bytes = NativeSlotTable.bytesFor(8);
  const fd = createMemoryFile('test', bytes);
  const before = new NativeSlotTable(8, mapFile(fd, bytes));
  const words = new Uint32Array(before.buffer);
  const taken = [2 ** 46 + 1, 7, 2 ** 46 + 1].map((token) => {
    const slot = before.acquire();
    tagSlot(words, before, slot, token);
    words[(before.payloadOffset(slot) - requestBytes) >> 2] = 48;
    return slot;
  });
  // Acquired, but the kill came before anything was read into it.
  tagSlot(words, before, before.acquire(), 7);

  const after = new NativeSlotTable(8, mapFile(fd, bytes));
  const found = new UnansweredRequests(after);
  expect(after.freeCount).toBe(5);
  expect(found.take(2 ** 46 + 1)).toEqual([taken[0], taken[2]]);
  expect(found.take(2 ** 46 + 1)).toEqual([]);
  found.dropRest();
  expect(after.freeCount).toBe(6);
  expect(found.take(7)).toEqual([]);
  const rest = Array.from({ length: 6 }, () => after.acquire());
  expect(new Set(rest).size).toBe(6);
  expect(rest).not.toContain(taken[0]);
});

test.each([
  ['5.15.0-91-generic', false],
  ['6.8.12', false],
  ['6.9.0', true],
  ['6.18.44-fc', true],
  ['7.0.1', true],
])('the kernel %s resends: %s', (release, expected) => {
  expect(kernelResends(release)).toBe(expected);
});
