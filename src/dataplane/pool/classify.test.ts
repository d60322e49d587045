import { fillState, segmentBytesFor } from './capacity.js';
import { classify, type ClassFacts } from './classify.js';
import type { PoolClass } from './contracts.js';

const gibibyte = 2 ** 30;

test.each<[string, Partial<ClassFacts>, PoolClass]>([
  ['a spinning disk', { media: 'hdd', rotational: true, readIops: 180 }, 'low'],
  ['a spinning disk, not measured', { media: 'hdd', rotational: true }, 'low'],
  [
    'a virtual disk that says it rotates',
    { media: 'hdd', rotational: true, readIops: 9000 },
    'medium',
  ],
  ['an SSD', { media: 'ssd', readIops: 9000 }, 'medium'],
  ['an SSD, not measured', { media: 'ssd' }, 'medium'],
  ['a fast SSD', { media: 'ssd', readIops: 40_000 }, 'high'],
  ['an NVMe drive', { media: 'nvme', readIops: 60_000 }, 'high'],
  ['an NVMe drive, not measured', { media: 'nvme' }, 'high'],
  ['a throttled cloud disk', { media: 'nvme', readIops: 1500 }, 'low'],
  ['a loop device, however fast its page cache', { media: 'loop', readIops: 90_000 }, 'medium'],
  ['a directory', { media: 'directory' }, 'medium'],
])('%s', (_, facts, expected) => {
  const unmeasured = { readBytesPerSecond: 0, readIops: 0 };
  expect(classify({ media: 'ssd', rotational: false, ...unmeasured, ...facts })).toBe(expected);
});

test('segments: a sixteenth of the smallest device, a power of two, within bounds', () => {
  expect(segmentBytesFor([400 * 2 ** 20])).toBe(64 * 2 ** 20);
  expect(segmentBytesFor([4 * gibibyte])).toBe(256 * 2 ** 20);
  expect(segmentBytesFor([100 * gibibyte, 1000 * gibibyte])).toBe(4 * gibibyte);
  expect(segmentBytesFor([4000 * gibibyte])).toBe(16 * gibibyte);
  expect(segmentBytesFor([0])).toBe(64 * 2 ** 20);
});

test('a pool is full when nearly nothing is left', () => {
  const capacity = (totalBytes: number, availableBytes: number): string =>
    fillState({ totalBytes, usedBytes: totalBytes - availableBytes, availableBytes });
  expect(capacity(gibibyte, 65 * 2 ** 20)).toBe('online');
  expect(capacity(gibibyte, 63 * 2 ** 20)).toBe('full');
  expect(capacity(1000 * gibibyte, 6 * gibibyte)).toBe('online');
  expect(capacity(1000 * gibibyte, 4 * gibibyte)).toBe('full');
});
