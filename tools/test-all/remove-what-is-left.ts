import { readdir, stat } from 'node:fs/promises';
import path from 'node:path';
import { clusterLeftovers, downCluster } from '../devcluster/cluster.js';
import { leftovers, sweep } from '../devcluster/sweep.js';

/**
 * Takes down the clusters whose directories lie in `dir` and what else the
 * kernel has below it, and returns what that was: a suite that was killed could
 * not do so itself, and one that ended by itself should have left nothing.
 */
export async function removeWhatIsLeft(dir: string): Promise<string[]> {
  const left: string[] = [];
  for (const name of await readdir(dir)) {
    const clusterDir = path.join(dir, name);
    const isCluster = await stat(path.join(clusterDir, 'cluster.json')).then(
      () => true,
      () => false,
    );
    if (!isCluster) continue;
    left.push(`cluster ${name}`, ...(await clusterLeftovers(clusterDir)));
    await downCluster(clusterDir);
  }
  left.push(...(await leftovers(dir)));
  // Before the directory is removed: rm would empty what is mounted there.
  await sweep(dir);
  return left;
}
