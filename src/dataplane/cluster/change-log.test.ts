import { ChangeLog } from './change-log.js';

const put = (modRevision: number) => ({ key: `k${modRevision}`, value: '', modRevision });
const revisions = (log: ChangeLog, from: number): number[] | undefined =>
  log.take(from)?.map(({ modRevision }) => modRevision);

test('changes are taken once, and only by whoever knows everything before them', () => {
  const log = new ChangeLog();
  log.changed([put(3)]);
  // It has not said since when it listens.
  expect(revisions(log, 2)).toBeUndefined();
  log.begins(5);
  expect(revisions(log, 4)).toBeUndefined();
  log.changed([put(6), put(7)]);
  log.changed([put(9)]);
  expect(revisions(log, 6)).toEqual([7, 9]);
  expect(revisions(log, 9)).toEqual([]);
  expect(revisions(log, 8)).toBeUndefined();
  log.changed([put(10)]);
  // Who has read as far by itself needs nothing of it.
  expect(revisions(log, 12)).toEqual([]);
});

test('a watch that begins anew has a gap before it', () => {
  const log = new ChangeLog();
  log.begins(5);
  log.changed([put(6)]);
  log.begins(8);
  expect(revisions(log, 5)).toBeUndefined();
  expect(revisions(log, 8)).toEqual([]);
});

test('it does not grow without end', () => {
  const log = new ChangeLog();
  log.begins(0);
  for (let revision = 1; revision <= 10_001; revision++) log.changed([put(revision)]);
  expect(revisions(log, 0)).toBeUndefined();
  expect(revisions(log, 10_001)).toEqual([]);
});

test('who waits for a revision hears of it, or of nothing', async () => {
  const log = new ChangeLog();
  log.begins(1);
  expect(await log.reach(1, 0)).toBe(true);
  expect(await log.reach(2, 0)).toBe(false);
  expect(await log.reach(2, 5)).toBe(false);
  const waiting = [log.reach(2, 60_000), log.reach(3, 60_000)];
  log.changed([put(3)]);
  expect(await Promise.all(waiting)).toEqual([true, true]);
});
