import { randomUUID } from 'node:crypto';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { defaultOptions, downCluster, upCluster } from '../../tools/devcluster/cluster.js';
import type { DevCluster } from '../../tools/devcluster/cluster.js';
import { capability } from '../../tools/lib/kubernetes.js';
import {
  compareCreations,
  createVolume,
  ManyVolumes,
  pageThrough,
  type Listed,
} from '../../tools/scale/many-volumes.js';
import { percentile } from '../../tools/scale/percentile.js';

/** A controller among thousands of volumes, by the bounds that are promised. */
jest.setTimeout(240_000);

let dir: string;
let cluster: DevCluster;

beforeAll(async () => {
  dir = await mkdtemp(path.join(tmpdir(), 'px-many-'));
  cluster = await upCluster({ ...defaultOptions, rootDir: process.cwd(), dir, userSpace: true });
});
afterAll(async () => {
  cluster.closeClients();
  await downCluster(dir);
  await rm(dir, { recursive: true, force: true });
});

async function publish(volumeId: string, node: string): Promise<string> {
  const { node_id } = await cluster.csi(node).node.NodeGetInfo({});
  await cluster.csi('n1').controller.ControllerPublishVolume({
    volume_id: volumeId,
    node_id,
    volume_capability: capability('ext4'),
  });
  return node_id;
}

function checkListed(
  listed: readonly Listed[],
  stay: readonly string[],
  published: ReadonlyMap<string, string>,
): void {
  const ids = listed.map(({ volumeId }) => volumeId);
  const there = new Set(ids);
  expect(ids).toHaveLength(there.size);
  expect(stay.filter((id) => !there.has(id))).toEqual([]);
  const shown = listed.filter(({ publishedOn }) => publishedOn.length > 0);
  expect(new Map(shown.map(({ volumeId, publishedOn }) => [volumeId, publishedOn]))).toEqual(
    new Map([...published].map(([volumeId, node]) => [volumeId, [node]])),
  );
}

it('lists 1000 volumes page by page, 100 of them published, while others come and go', async () => {
  const many = new ManyVolumes(cluster);
  try {
    const stay = await many.put(1000);
    const published = new Map<string, string>();
    for (const [index, id] of stay.filter((_, place) => place % 10 === 0).entries()) {
      published.set(id, await publish(id, `n${(index % 3) + 1}`));
    }
    expect(published.size).toBe(100);

    const still = await pageThrough(cluster, 100);
    expect(still).toHaveLength(1000);
    checkListed(still, stay, published);

    const going = await Promise.all(
      Array.from({ length: 20 }, () => createVolume(cluster, `going-${randomUUID()}`)),
    );
    let pages = 1;
    const listed = await pageThrough(cluster, 100, async () => {
      pages++;
      await createVolume(cluster, `coming-${randomUUID()}`);
      const volume_id = going.pop();
      if (volume_id !== undefined) {
        await cluster.csi('n1').controller.DeleteVolume({ volume_id });
      }
    });
    expect(pages).toBeGreaterThan(9);
    checkListed(listed, stay, published);
    await many.removeAll();
  } finally {
    many.close();
  }
});

/** So many that a p99 is not the worst but the fourth worst of them. */
const calls = 300;

it('makes a volume among 5000 in less than 100 ms more than among none, at the 99th percentile', async () => {
  const { without, among } = await compareCreations(cluster, { volumes: 5000, calls, turns: 2 });
  const p99 = { without: percentile(without, 99), among: percentile(among, 99) };
  const p50 = { without: percentile(without, 50), among: percentile(among, 50) };
  process.stderr.write(`CreateVolume: ${JSON.stringify({ p50, p99 })}\n`);
  expect(p99.among - p99.without).toBeLessThan(100);
});
