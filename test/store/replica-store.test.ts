import { createHash, randomInt } from 'node:crypto';
import { existsSync, mkdirSync, readdirSync, renameSync, statfsSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import {
  createReplica,
  listReplicas,
  recoverPool,
  removeReplica,
} from '../../src/dataplane/store/replica-catalog.js';
import type { FileReplicaStore } from '../../src/dataplane/store/file-replica-store.js';
import { emptyTrash } from '../../src/dataplane/store/trash.js';
import { command, mebibyte } from '../pool/loop-device.js';
import { Random, StoreBench } from './store-bench.js';

let bench: StoreBench;
beforeAll(() => {
  bench = new StoreBench([600 * mebibyte, 600 * mebibyte]);
});
afterAll(() => bench.remove());
afterEach(async () => {
  expect(bench.failures).toEqual([]);
  for (const { meta } of listReplicas(bench.pool)) {
    removeReplica(bench.pool, meta.volumeId, meta.replicaId);
  }
  await emptyTrash(bench.pool);
  command('sync', '-f', bench.directories[0]);
});

function segmentsOf(volumeId: string): string[][] {
  return bench.directories.map((directory) => {
    const path = join(directory, 'replicas', volumeId, `${volumeId}-r`, '1');
    return existsSync(path) ? readdirSync(path).sort() : [];
  });
}

function saveMeta(store: FileReplicaStore, changes: object): number {
  return bench.ask((ticket) => store.saveMeta({ ...store.meta, ...changes }, ticket));
}

test('random writes, zeroes, reads and hashes agree with a model, across segments and reopening', () => {
  const seed = randomInt(2 ** 31);
  console.log(`seed ${seed}`);
  const random = new Random(seed);
  // The last block is short, the boundary between two segments is inside the window.
  const sizeBytes = 128 * mebibyte + 20480;
  const windowStart = 62 * mebibyte;
  const model = Buffer.alloc(sizeBytes - windowStart);
  let store = bench.create('model', sizeBytes);
  for (let step = 0; step < 400; step++) {
    const unit = random.below(4) === 0 ? 1 : 4096;
    const length = Math.max(unit, Math.floor(random.below(mebibyte) / unit) * unit);
    const near = random.below(2) === 0 ? 3 * mebibyte : model.length - length;
    const at = Math.min(Math.floor(random.below(near) / unit) * unit, model.length - length);
    const action = random.below(5);
    if (action < 2) {
      const data = random.bytes(length);
      data.copy(model, at);
      expect(bench.write(store, windowStart + at, data)).toBe(0);
    } else if (action === 2) {
      model.fill(0, at, at + length);
      expect(store.zero(windowStart + at, length)).toBe(0);
    } else if (action === 3) {
      const found = bench.read(store, windowStart + at, length);
      expect(found.equals(model.subarray(at, at + length))).toBe(true);
    } else {
      expect(bench.ask((ticket) => store.sync(ticket))).toBe(0);
    }
    if (step === 200) {
      bench.close(store);
      store = bench.open('model');
    }
  }
  for (let at = 0; at < model.length; at += mebibyte) {
    const expected = model.subarray(at, at + mebibyte);
    expect(bench.read(store, windowStart + at, expected.length).equals(expected)).toBe(true);
    const digests = store.hash(windowStart + at, expected.length);
    if (typeof digests === 'number') throw new Error(`hash answered ${digests}`);
    for (let block = 0; block * 65536 < expected.length; block++) {
      const data = expected.subarray(block * 65536, (block + 1) * 65536);
      const zeroes = data.every((byte) => byte === 0);
      const digest = zeroes ? Buffer.alloc(32) : createHash('sha256').update(data).digest();
      expect(Buffer.from(digests.subarray(block * 32, block * 32 + 32)).equals(digest)).toBe(true);
    }
  }
  bench.close(store);
});

test('what was never written reads as zeroes and takes no file', () => {
  const store = bench.create('holes', 512 * mebibyte);
  expect(bench.read(store, 100 * mebibyte, 65536).every((byte) => byte === 0)).toBe(true);
  expect(store.zero(0, 512 * mebibyte)).toBe(0);
  expect(store.hash(0, mebibyte)).toEqual(new Uint8Array(16 * 32));
  expect(segmentsOf('holes').flat()).toEqual([]);
  expect(store.usedBytes()).toBe(0);
  // Written zeroes are data on the disk, and equal to a hole for a comparison.
  expect(bench.write(store, 0, Buffer.alloc(65536))).toBe(0);
  expect(store.hash(0, 65536)).toEqual(new Uint8Array(32));
  expect(bench.ask((ticket) => store.sync(ticket))).toBe(0);
  expect(store.usedBytes()).toBe(65536);
  bench.close(store);
});

test('a replica larger than one device spreads over both; a discard gives space back', () => {
  const store = bench.create('large', 1000 * mebibyte);
  const piece = new Random(7).bytes(mebibyte);
  for (let at = 0; at < 800; at++) {
    piece.writeUInt32LE(at, 0);
    expect(bench.write(store, at * mebibyte, piece)).toBe(0);
  }
  expect(bench.ask((ticket) => store.sync(ticket))).toBe(0);
  const [first, second] = segmentsOf('large');
  expect(first.length + second.length).toBe(13);
  expect(Math.abs(first.length - second.length)).toBeLessThanOrEqual(1);
  expect(store.usedBytes()).toBe(800 * mebibyte);
  expect(bench.read(store, 777 * mebibyte, 4).readUInt32LE()).toBe(777);
  expect(store.zero(100 * mebibyte, 500 * mebibyte)).toBe(0);
  expect(bench.ask((ticket) => store.sync(ticket))).toBe(0);
  expect(store.usedBytes()).toBe(300 * mebibyte);
  expect(listReplicas(bench.pool)).toMatchObject([{ usedBytes: 300 * mebibyte, problem: '' }]);
  bench.close(store);
});

test('a full pool gives ENOSPC; overwrites and syncs go on; a discard makes room', () => {
  const store = bench.create('full', 4096 * mebibyte);
  const piece = new Random(3).bytes(mebibyte);
  let written = 0;
  let status = 0;
  while (status === 0) {
    status = bench.write(store, written * mebibyte, piece);
    if (status === 0) written++;
  }
  expect(status).toBe(28);
  expect(written).toBeGreaterThan(600);
  const fresh = new Random(4).bytes(mebibyte);
  for (let at = 0; at < written; at += 10) {
    expect(bench.write(store, at * mebibyte, fresh)).toBe(0);
  }
  expect(bench.ask((ticket) => store.sync(ticket))).toBe(0);
  expect(bench.read(store, 0, mebibyte).equals(fresh)).toBe(true);
  expect(bench.read(store, mebibyte, mebibyte).equals(piece)).toBe(true);
  // Marks and meta were given their blocks when the replica was made.
  store.marks[3] = 0xff;
  expect(bench.ask((ticket) => store.saveMarks(ticket))).toBe(0);
  expect(saveMeta(store, { epoch: 3 })).toBe(0);
  expect(store.zero(0, 64 * mebibyte)).toBe(0);
  expect(bench.write(store, 10 * mebibyte, fresh)).toBe(0);
  expect(bench.ask((ticket) => store.sync(ticket))).toBe(0);
  bench.close(store);
});

test('many replicas are synced at the same time, and syncs of one are shared', () => {
  const stores = ['s1', 's2', 's3', 's4'].map((name) => bench.create(name, 256 * mebibyte));
  const tickets: number[] = [];
  let ticket = 1_000_000;
  for (let round = 0; round < 50; round++) {
    for (const store of stores) {
      expect(bench.write(store, round * 5 * mebibyte, Buffer.alloc(4096, round + 1))).toBe(0);
      tickets.push(++ticket);
      store.sync(ticket);
    }
  }
  for (const asked of tickets) expect(bench.answerTo(asked)).toBe(0);
  for (const store of stores) bench.close(store);
});

test('marks: saved, shared saves, found again; they grow with the volume, clear', () => {
  let store = bench.create('marks', 64 * mebibyte);
  expect(store.marks).toEqual(new Uint8Array(2));
  store.marks[1] = 0x81;
  store.saveMarks(2_000_001);
  store.marks[0] = 0x01;
  store.saveMarks(2_000_002);
  store.saveMarks(2_000_003);
  for (const ticket of [2_000_001, 2_000_002, 2_000_003]) expect(bench.answerTo(ticket)).toBe(0);
  bench.close(store);
  store = bench.open('marks');
  expect([...store.marks]).toEqual([0x01, 0x81]);
  const grown = saveMeta(store, { sizeBytes: 160 * mebibyte });
  expect(grown).toBe(0);
  expect([...store.marks]).toEqual([0x01, 0x81, 0, 0, 0]);
  expect(bench.write(store, 159 * mebibyte, Buffer.alloc(4096, 9))).toBe(0);
  store.marks[4] = 0x80;
  expect(bench.ask((ticket) => store.saveMarks(ticket))).toBe(0);
  bench.close(store);
  store = bench.open('marks');
  expect(store.meta.sizeBytes).toBe(160 * mebibyte);
  expect([...store.marks]).toEqual([0x01, 0x81, 0, 0, 0x80]);
  expect(bench.read(store, 159 * mebibyte, 4096)[4095]).toBe(9);
  bench.close(store);
});

test('meta and scratch: found again; another boot means lost power, until meta was saved', () => {
  let store = bench.create('meta', 64 * mebibyte);
  expect([store.powerLost, store.scratchIntact]).toEqual([false, false]);
  store.scratch[63] = 1.5;
  expect(saveMeta(store, { epoch: 7, token: 'me', lossy: true })).toBe(0);
  bench.close(store);
  store = bench.open('meta');
  expect(store.meta).toMatchObject({ epoch: 7, token: 'me', lossy: true, volumeId: 'meta' });
  expect([store.powerLost, store.scratchIntact, store.scratch[63]]).toEqual([false, true, 1.5]);
  bench.close(store);
  store = bench.open('meta', 'boot-2');
  expect([store.powerLost, store.scratchIntact, store.scratch[63]]).toEqual([true, false, 0]);
  bench.close(store);
  store = bench.open('meta', 'boot-2');
  expect([store.powerLost, store.scratchIntact]).toEqual([true, true]);
  expect(saveMeta(store, {})).toBe(0);
  bench.close(store);
  store = bench.open('meta', 'boot-2');
  expect(store.powerLost).toBe(false);
  bench.close(store);
});

describe.each(['reflink', 'copy'] as const)('copies by %s', (method) => {
  beforeAll(() => {
    bench.snapshotMethod = method;
    bench.reopenPool();
  });
  afterAll(() => {
    bench.snapshotMethod = 'reflink';
    bench.reopenPool();
  });

  function filled(volumeId: string): FileReplicaStore {
    const store = bench.create(volumeId, 200 * mebibyte);
    for (const at of [0, 63.5, 130]) {
      expect(bench.write(store, at * mebibyte, new Random(at).bytes(mebibyte))).toBe(0);
    }
    return store;
  }

  test('copyTo: the content of the moment, independent afterwards, also a second time', () => {
    const source = filled('origin');
    expect(saveMeta(source, { epoch: 5, lossy: true })).toBe(0);
    source.marks[0] = 0xff;
    expect(bench.ask((ticket) => source.copyTo('copy', 'copy-r', ticket))).toBe(0);
    const changed = Buffer.alloc(4096, 1);
    expect(bench.write(source, 64 * mebibyte, changed)).toBe(0);
    let copy = bench.open('copy');
    expect(copy.meta).toEqual({
      clusterId: 'c',
      volumeId: 'copy',
      replicaId: 'copy-r',
      epoch: 0,
      token: '',
      sizeBytes: 200 * mebibyte,
      blank: false,
      lossy: false,
    });
    expect(copy.marks.every((byte) => byte === 0)).toBe(true);
    expect(copy.powerLost).toBe(false);
    const expected = new Random(63.5).bytes(mebibyte);
    expect(bench.read(copy, 63.5 * mebibyte, mebibyte).equals(expected)).toBe(true);
    expect(bench.write(copy, 0, Buffer.alloc(4096, 2))).toBe(0);
    expect(bench.read(source, 0, mebibyte).equals(new Random(0).bytes(mebibyte))).toBe(true);
    expect(copy.usedBytes()).toBeLessThan(8 * mebibyte);
    bench.close(copy);

    expect(bench.ask((ticket) => source.copyTo('copy', 'copy-r', ticket))).toBe(0);
    copy = bench.open('copy');
    expect(bench.read(copy, 64 * mebibyte, 4096).equals(changed)).toBe(true);
    expect(saveMeta(copy, { epoch: 1 })).toBe(0);
    bench.close(copy);
    // It was attached since: a late repetition must not replace what was written to it.
    expect(bench.ask((ticket) => source.copyTo('copy', 'copy-r', ticket))).toBe(17);
    bench.close(source);
  });

  test('copyFrom: the content is replaced, ids stay, and it is found after reopening', () => {
    const snapshot = filled('snap');
    bench.close(snapshot);
    let store = bench.create('target', 300 * mebibyte);
    expect(bench.write(store, 250 * mebibyte, Buffer.alloc(4096, 5))).toBe(0);
    expect(saveMeta(store, { epoch: 9, token: 'tok' })).toBe(0);
    store.sync(3_000_001);
    expect(bench.ask((ticket) => store.copyFrom('snap', ticket))).toBe(0);
    expect(bench.answerTo(3_000_001)).toBe(0);
    const check = (): void => {
      const expected = new Random(130).bytes(mebibyte);
      expect(bench.read(store, 130 * mebibyte, mebibyte).equals(expected)).toBe(true);
      expect(bench.read(store, 250 * mebibyte, 4096).every((byte) => byte === 0)).toBe(true);
      expect(store.meta).toMatchObject({ volumeId: 'target', epoch: 9, token: 'tok' });
      expect(store.meta.sizeBytes).toBe(300 * mebibyte);
    };
    check();
    expect(bench.write(store, 0, Buffer.alloc(4096, 6))).toBe(0);
    expect(bench.ask((ticket) => store.sync(ticket))).toBe(0);
    bench.close(store);
    store = bench.open('target');
    check();
    expect(bench.ask((ticket) => store.copyFrom('nothing', ticket))).toBe(2);
    bench.close(store);
  });
});

test('a copyFrom that a crash cut short leaves the old content', () => {
  let store = bench.create('half', 64 * mebibyte);
  expect(bench.write(store, 0, Buffer.alloc(4096, 5))).toBe(0);
  bench.close(store);
  const half = join(bench.directories[1], 'replicas', 'half', 'half-r', '2');
  mkdirSync(half, { recursive: true });
  writeFileSync(join(half, '0.seg'), 'other');
  store = bench.open('half');
  expect(bench.read(store, 0, 4096)[0]).toBe(5);
  expect(existsSync(half)).toBe(false);
  bench.close(store);
});

test('a segment that a crash left without its length is extended', () => {
  let store = bench.create('short', 64 * mebibyte);
  bench.close(store);
  const directory = join(bench.directories[0], 'replicas', 'short', 'short-r', '1');
  mkdirSync(directory, { recursive: true });
  writeFileSync(join(directory, '0.seg'), '');
  const home = bench.directories.find((path) =>
    existsSync(join(path, 'replicas', 'short', 'short-r', 'meta.json')),
  );
  writeFileSync(join(home ?? '', 'replicas', 'short', 'short-r', 'on.device-0'), '');
  store = bench.open('short');
  expect(bench.read(store, 63 * mebibyte, 4096).every((byte) => byte === 0)).toBe(true);
  bench.close(store);
});

test('a replica with a device missing does not open: its holes would be lies', () => {
  const store = bench.create('parts', 512 * mebibyte);
  for (let at = 0; at < 512; at += 64) {
    expect(bench.write(store, at * mebibyte, Buffer.alloc(4096, 1))).toBe(0);
  }
  expect(segmentsOf('parts').every((names) => names.length > 0)).toBe(true);
  bench.close(store);
  const absent = bench.directories[segmentsOf('parts')[0].length > 0 ? 1 : 0];
  const identity = join(absent, 'px-identity.json');
  renameSync(identity, `${identity}.away`);
  bench.reopenPool();
  expect(bench.pool.missing).toMatchObject([{ path: absent }]);
  expect(() => bench.open('parts')).toThrow(/needs device|no replica/);
  renameSync(`${identity}.away`, identity);
  bench.reopenPool();
  const again = bench.open('parts');
  expect(bench.read(again, 64 * mebibyte, 1)[0]).toBe(1);
  bench.close(again);
});

test('creating is idempotent; another cluster is refused; what is not there is not found', () => {
  const store = bench.create('ids', 64 * mebibyte);
  bench.close(store);
  createReplica(bench.pool, store.meta, 'boot-1');
  const foreign = { ...store.meta, clusterId: 'd' };
  expect(() => createReplica(bench.pool, foreign, 'boot-1')).toThrow('clusterId c, not d');
  expect(() => bench.open('other')).toThrow('there is no replica');
  expect(() => bench.create('../escape', mebibyte)).toThrow('not an identifier');
});

test('removal frees the space, also when a crash came in between', async () => {
  const store = bench.create('gone', 256 * mebibyte);
  for (let at = 0; at < 256; at += 4) {
    expect(bench.write(store, at * mebibyte, new Random(1).bytes(mebibyte))).toBe(0);
  }
  bench.close(store);
  const home = bench.directories.find((path) =>
    existsSync(join(path, 'replicas/gone/gone-r/meta.json')),
  );
  const directory = join(home ?? '', 'replicas/gone/gone-r');
  renameSync(join(directory, 'meta.json'), join(directory, 'removed'));
  expect(listReplicas(bench.pool)).toEqual([]);
  recoverPool(bench.pool);
  expect(bench.directories.map((path) => readdirSync(join(path, 'replicas/gone')))).toEqual([
    [],
    [],
  ]);
  await emptyTrash(bench.pool);
  expect(readdirSync(join(bench.directories[0], 'trash'))).toEqual([]);
  removeReplica(bench.pool, 'gone', 'gone-r');
  expect(statfsSync(bench.directories[0]).bfree).toBeGreaterThan(0);
});

test('segments without a meta.json are kept: their home may be on a device that is missing', () => {
  const store = bench.create('orphan', 64 * mebibyte);
  expect(bench.write(store, 0, Buffer.alloc(4096, 1))).toBe(0);
  bench.close(store);
  const meta = bench.directories
    .map((path) => join(path, 'replicas/orphan/orphan-r/meta.json'))
    .find(existsSync);
  renameSync(meta ?? '', `${meta}.away`);
  recoverPool(bench.pool);
  expect(() => bench.create('orphan', 64 * mebibyte)).toThrow('whose meta.json is not there');
  renameSync(`${meta}.away`, meta ?? '');
  const again = bench.open('orphan');
  expect(bench.read(again, 0, 1)[0]).toBe(1);
  bench.close(again);
});
