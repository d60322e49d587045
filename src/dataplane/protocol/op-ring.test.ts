import { OpRing, ringCapacity, scratchLength } from './op-ring.js';

function ring(): OpRing {
  return new OpRing(new Float64Array(scratchLength));
}

test('what is not complete everywhere stays, what is goes', () => {
  const log = ring();
  log.beginEpoch(1);
  log.adopt();
  log.record(1, 0, 10);
  log.record(2, 100, 10);
  log.record(3, 200, 10);
  log.completed(2);
  expect(log.ranges()).toEqual([200, 10]);
});

test('a new epoch keeps the old one’s ranges until they were made equal', () => {
  const log = ring();
  log.beginEpoch(1);
  log.adopt();
  log.record(1, 4096, 512);
  log.beginEpoch(2);
  expect(log.ranges()).toEqual([4096, 512]);
  log.beginEpoch(3);
  expect(log.ranges()).toEqual([4096, 512]);
  log.adopt();
  expect(log.ranges()).toEqual([]);
});

test('adopting keeps what this epoch has in flight', () => {
  const log = ring();
  log.beginEpoch(1);
  log.adopt();
  log.record(1, 0, 1);
  log.beginEpoch(2);
  log.record(1, 512, 1);
  log.adopt();
  expect(log.ranges()).toEqual([512, 1]);
});

test('it survives being opened again by another process', () => {
  const memory = new Float64Array(scratchLength);
  const before = new OpRing(memory);
  before.beginEpoch(4);
  before.adopt();
  before.record(7, 64, 32);
  before.completed(6);
  expect(new OpRing(memory).ranges()).toEqual([64, 32]);
});

test('it holds as many mutations as a coordinator may have open', () => {
  const log = ring();
  log.beginEpoch(1);
  log.adopt();
  for (let seq = 1; seq < ringCapacity; seq += 1) log.record(seq, seq * 10, 10);
  expect(log.ranges()).toHaveLength(2 * (ringCapacity - 1));
});

describe('leases', () => {
  test('an older coordinator’s lease is remembered through several takeovers', () => {
    const log = ring();
    log.beginEpoch(1);
    log.grantLease(1, 5000);
    expect(log.supersedeLeases(2, false)).toBe(5000);
    log.grantLease(2, 4000);
    expect(log.supersedeLeases(3, false)).toBe(5000);
  });

  test('the lease of a process known to be dead does not count, an older one does', () => {
    const log = ring();
    log.grantLease(1, 5000);
    log.supersedeLeases(2, false);
    log.grantLease(2, 9000);
    expect(log.supersedeLeases(3, true)).toBe(5000);
  });

  test('only the epoch directly before is known to be dead', () => {
    const log = ring();
    log.grantLease(1, 5000);
    expect(log.supersedeLeases(3, true)).toBe(5000);
  });
});
