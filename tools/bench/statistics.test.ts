import { cellOf, median, type Sample } from './statistics.js';

test('medians', () => {
  expect(median([3, 1, 2])).toBe(2);
  expect(median([4, 1, 2, 3])).toBe(2.5);
  expect(median([])).toBeNaN();
});

test('a ratio is to the raw run of the same round', () => {
  const sample = (target: string, round: number, value: number): Sample => ({
    workload: 'w',
    target,
    round,
    value,
    meanLatencyUs: 1,
    p50Us: 1,
    p99Us: 1,
    cpuUsPerIo: 1,
  });
  // The machine was twice as fast in round 2; the ratio is a half in every round.
  const samples = [
    sample('raw', 1, 100),
    sample('px', 1, 50),
    sample('raw', 2, 200),
    sample('px', 2, 100),
    sample('raw', 3, 100),
    sample('px', 3, 50),
  ];
  expect(cellOf(samples, 'w', 'px', 'raw')).toMatchObject({ ratio: 0.5, value: 50 });
  expect(cellOf(samples, 'w', 'nothing', 'raw')).toBeUndefined();
});
