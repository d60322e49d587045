import { mkdirSync, rmSync, truncateSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { command, mebibyte } from '../pool/loop-device.js';
import { Random, StoreBench } from './store-bench.js';

let bench: StoreBench;
let host: string;
let device: string;

/** The device's image lies on a tmpfs that is too small: late writes fail with EIO. */
beforeAll(() => {
  bench = new StoreBench([]);
  host = join(bench.loops.directory, 'host');
  mkdirSync(host);
  command('mount', '-t', 'tmpfs', '-o', 'size=120M', 'tmpfs', host);
  const image = join(host, 'image');
  writeFileSync(image, '');
  truncateSync(image, 400 * mebibyte);
  device = bench.loops.attach(image);
  bench.addDevice(device);
  bench.reopenPool();
});
afterAll(async () => {
  await bench.stop();
  rmSync(ballast(), { force: true });
  // The loop device must go before the file system that has its image.
  for (const directory of bench.directories) command('umount', directory);
  bench.loops.detach(device);
  bench.loops.remove();
});

const ballast = (): string => join(host, 'ballast');

test('a failed fsync ends the store; later ones do not pretend; the next opening says power lost', () => {
  let store = bench.create('v', 300 * mebibyte);
  expect(bench.write(store, 0, Buffer.alloc(4096, 1))).toBe(0);
  expect(bench.ask((ticket) => store.sync(ticket))).toBe(0);
  command('sh', '-c', `dd if=/dev/zero of=$0 bs=1M count=200 2>/dev/null || true`, ballast());
  for (let at = 1; at < 100; at++) {
    expect(bench.write(store, at * mebibyte, new Random(at).bytes(mebibyte))).toBe(0);
  }
  store.sync(4_000_001);
  store.sync(4_000_002);
  expect(bench.answerTo(4_000_001)).toBe(5);
  expect(bench.answerTo(4_000_002)).toBe(5);
  // The loop device passes on that its file has no room.
  expect(bench.failures).toEqual([expect.stringMatching(/fdatasync of the segments: E(IO|NOSPC)/)]);
  expect(store.failed).toBe(bench.failures[0]);
  expect(bench.ask((ticket) => store.sync(ticket))).toBe(5);
  expect(bench.ask((ticket) => store.saveMarks(ticket))).toBe(5);
  expect(store.write(bench.memory.address, 0, 4096)).toBe(5);
  expect(store.read(bench.memory.address, 0, 4096)).toBe(5);
  expect(store.zero(0, 4096)).toBe(5);
  expect(store.hash(0, 65536)).toBe(5);
  rmSync(ballast());
  bench.close(store);
  store = bench.open('v');
  expect(store.powerLost).toBe(true);
  expect(bench.read(store, 0, 1)[0]).toBe(1);
  expect(bench.ask((ticket) => store.saveMeta({ ...store.meta, lossy: true }, ticket))).toBe(0);
  bench.close(store);
  store = bench.open('v');
  expect([store.powerLost, store.meta.lossy]).toEqual([false, true]);
  bench.close(store);
});
