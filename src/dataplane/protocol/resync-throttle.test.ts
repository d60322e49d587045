import { ResyncThrottle } from './resync-throttle.js';

const mib = 1024 * 1024;

/** Spends ranges of 1 MiB whenever it may, for ten seconds of ticks at its own deadlines. */
function bytesIn10Seconds(bytesPerSecond: number): number {
  const throttle = new ResyncThrottle(bytesPerSecond);
  let spent = 0;
  for (let now = 1000; now < 11_000;) {
    throttle.tick(now);
    while (!throttle.exhausted) {
      throttle.spend(mib);
      spent += mib;
    }
    const next = throttle.nextDeadline();
    expect(next).toBeGreaterThan(now);
    now = next;
  }
  return spent;
}

test.each([2, 12, 100, 1000])('%s MiB a second are kept, large ranges or not', (rate) => {
  const rateBytes = rate * mib;
  const spent = bytesIn10Seconds(rateBytes);
  expect(spent).toBeGreaterThan(9.5 * rateBytes);
  expect(spent).toBeLessThan(10 * rateBytes + 0.2 * rateBytes + 2 * mib);
});

test('one that nobody uses asks for no time', () => {
  expect(new ResyncThrottle(mib).nextDeadline()).toBe(Infinity);
});
