import { mkdtemp } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { UserSpaceDemo } from '../../tools/demo/user-space-demo.js';
import { Progress } from '../../tools/demo/progress.js';
import { clusterLeftovers, downCluster } from '../../tools/devcluster/cluster.js';

/**
 * Without root, FUSE and namespaces: what the demonstration shows there is
 * also the test of it. Every step of it throws if what it shows isn't so.
 */
describe('directory pools, loopback addresses and NBD', () => {
  let dir: string;

  beforeAll(async () => {
    dir = await mkdtemp(path.join(tmpdir(), 'px-user-'));
  });

  afterAll(() => downCluster(dir), 60_000);

  test('three copies, one lost and back, every byte verified', async () => {
    const told: string[] = [];
    const progress = new Progress((text) => told.push(text));
    await new UserSpaceDemo(progress).run(dir, process.cwd());
    expect(progress.table()).not.toContain('FAIL');
    expect(told.join('')).toContain('compared by hash');
    await downCluster(dir);
    expect(await clusterLeftovers(dir)).toEqual([]);
  }, 180_000);
});
