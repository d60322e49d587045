import { mkdtemp, open, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { DevCluster, defaultOptions } from '../../tools/devcluster/cluster.js';
import { Mirror } from './mirror.js';
import { describeOnCluster } from './needs.js';
import { miB } from './volumes.js';

/** The judge itself must be judged: a lost write and a torn block are found. */
describeOnCluster('the mirror of acknowledged writes', () => {
  let dir: string;
  let file: string;
  let cluster: DevCluster;

  beforeAll(async () => {
    dir = await mkdtemp(path.join(tmpdir(), 'px-mirror-'));
    file = path.join(dir, 'device');
    await using handle = await open(file, 'w');
    await handle.truncate(8 * miB);
    cluster = new DevCluster({ ...defaultOptions, dir, rootDir: process.cwd() });
  });

  afterAll(() => rm(dir, { recursive: true, force: true }));

  test('a clean run verifies; a changed block does not', async () => {
    const mirror = new Mirror(4 * miB, 2 * miB);
    for (const seed of [1, 2]) {
      const writer = mirror.startWriter(cluster, 'n1', file, seed);
      await writer.progress(500);
      await writer.stop();
      await mirror.verify(file);
    }
    await using handle = await open(file, 'r+');
    await handle.write(Buffer.from('x'), 0, 1, 3 * miB + 17);
    await expect(mirror.verify(file)).rejects.toThrow(/1 blocks are wrong: block 768/);
  }, 30_000);

  test('a write that never happened is missed', async () => {
    const mirror = new Mirror(2 * miB);
    const writer = mirror.startWriter(cluster, 'n1', file, 3);
    await writer.progress(2000);
    await writer.stop();
    await mirror.verify(file);
    await using handle = await open(file, 'r+');
    await handle.write(Buffer.alloc(4096), 0, 4096, 0);
    await expect(mirror.verify(file)).rejects.toThrow(/block 0 has stamp 0/);
  }, 30_000);

  test('a writer that meets an error says so', async () => {
    const mirror = new Mirror(2 * miB, 64 * miB);
    const writer = mirror.startWriter(cluster, 'n1', path.join(dir, 'nothing'), 4);
    await expect(writer.progress(1)).rejects.toThrow(/ENOENT/);
  }, 30_000);
});
