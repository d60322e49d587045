import { WorkQueue } from './work-queue.js';

describe('WorkQueue', () => {
  let queue: WorkQueue;

  beforeEach(() => {
    jest.useFakeTimers();
    queue = new WorkQueue({ firstBackoffMs: 100, longestBackoffMs: 1_000 });
  });

  afterEach(() => {
    queue.end();
    jest.useRealTimers();
  });

  test('a key that is added often comes once, in the order of the first', async () => {
    for (const key of ['a', 'b', 'a', 'a']) queue.add(key);
    expect(queue.depth).toBe(2);
    expect([await queue.take(), await queue.take()]).toEqual(['a', 'b']);
  });

  test('who waits gets the key at once', async () => {
    const taken = queue.take();
    queue.add('a');
    expect(await taken).toBe('a');
  });

  test('a key at work goes to nobody else, and comes again when it was added meanwhile', async () => {
    queue.add('a');
    await queue.take();
    queue.add('a');
    queue.add('a');
    const next = queue.take();
    let given = false;
    void next.then(() => (given = true));
    await jest.advanceTimersByTimeAsync(10_000);
    expect(given).toBe(false);
    queue.done('a');
    expect(await next).toBe('a');
    queue.done('a');
    expect(queue.depth).toBe(0);
  });

  test('of two delays the sooner holds, and adding at once beats both', async () => {
    queue.addAfter('a', 500);
    queue.addAfter('a', 200);
    queue.addAfter('a', 900);
    await jest.advanceTimersByTimeAsync(199);
    expect(queue.depth).toBe(0);
    await jest.advanceTimersByTimeAsync(1);
    expect(queue.depth).toBe(1);
    await queue.take();
    queue.done('a');
    queue.addAfter('a', 500);
    queue.add('a');
    await queue.take();
    queue.done('a');
    await jest.advanceTimersByTimeAsync(1_000);
    expect(queue.depth).toBe(0);
  });

  test('failures wait longer each time, up to a bound, until one pass succeeds', () => {
    const delays = Array.from({ length: 6 }, () => queue.addAfterFailure('a'));
    const longest = [100, 200, 400, 800, 1_000, 1_000];
    delays.forEach((delay, index) => {
      expect(delay).toBeLessThanOrEqual(longest[index]);
      expect(delay).toBeGreaterThanOrEqual(longest[index] * 0.75);
    });
    expect(queue.addAfterFailure('b')).toBeLessThanOrEqual(100);
    queue.forgetFailures('a');
    expect(queue.addAfterFailure('a')).toBeLessThanOrEqual(100);
  });

  test('the end lets workers go, and nothing comes after it', async () => {
    const taken = queue.take();
    queue.end();
    expect(await taken).toBeUndefined();
    queue.add('a');
    queue.addAfter('b', 10);
    expect(await queue.take()).toBeUndefined();
  });
});
