import { existsSync } from 'node:fs';
import { mkdtemp } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { upCluster, type ClusterOptions, type DevCluster } from '../../tools/devcluster/cluster.js';
import { waitFor } from '../../tools/lib/wait.js';

/**
 * One cluster for all tests of a suite, which get it by `take`. After each test
 * what it broke is mended, unless `mends` says that the tests build on that.
 */
export function useCluster(
  take: (cluster: DevCluster) => void,
  options: Partial<ClusterOptions> = {},
  { mends = true }: { readonly mends?: boolean } = {},
): void {
  let cluster: DevCluster | undefined;
  beforeAll(async () => {
    cluster = await startCluster(options);
    take(cluster);
  }, 120_000);
  afterEach(async () => {
    if (mends && cluster !== undefined) await restore(cluster);
  }, 120_000);
  // One that did not come up has taken itself down.
  afterAll(() => cluster?.down(), 60_000);
}

/** Small disks: the tests write little, and formatting is quick. Its owner takes it down. */
export async function startCluster(options: Partial<ClusterOptions> = {}): Promise<DevCluster> {
  if (!existsSync('dist/src/dataplane/node/main.js')) {
    throw new Error('the programs are not built: npm run build');
  }
  const dir = await mkdtemp(path.join(tmpdir(), 'px-test-'));
  const sizes = { devices: 1, deviceSizeBytes: 2 * 1024 ** 3 };
  return upCluster({ dir, withoutCsi: true, ...sizes, ...options });
}

/**
 * Everything that runs, reachable: a test that failed in the middle of a fault
 * must not fail those after it.
 */
export async function restore(cluster: DevCluster): Promise<void> {
  await cluster.startEtcd();
  await cluster.heal();
  for (const { name } of cluster.nodeLayouts) await cluster.startNode(name);
}

/** The node's lease is over: the others count it as dead. */
export async function waitOffline(cluster: DevCluster, via: string, name: string): Promise<void> {
  await waitFor(`end of the lease of ${name}`, 20_000, async () => {
    const { nodes } = await cluster.api(via).ListNodes({});
    return nodes.find((node) => node.name === name)?.state === 'offline' ? true : undefined;
  });
}

/** The node's daemon has ended; its block path may go on. */
export async function waitDaemonEnd(cluster: DevCluster, name: string): Promise<void> {
  await waitFor(`end of px-node on ${name}`, 30_000, async () =>
    (await cluster.running(name)).has('px-node') ? undefined : true,
  );
}
