import { mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { TestAuthority } from '../../src/platform/testing-certificates.js';
import type { DevCluster } from '../../tools/devcluster/cluster.js';
import { startCluster, waitDaemonEnd } from '../support/clusters.js';
import { describeOnCluster } from '../support/needs.js';
import {
  createAttached,
  detachAndDelete,
  healedAndEqual,
  miB,
  verifyingLoad,
} from '../support/volumes.js';

describeOnCluster('nodes with certificates', () => {
  let cluster: DevCluster;
  const certificates = mkdtempSync(join(tmpdir(), 'px-certs-'));
  // Any certificate of the cluster's authority will do for any node.
  const tls = new TestAuthority(certificates).issue('node');

  /** Written by the cluster before it starts a node. */
  const config: Record<string, unknown> = {};

  beforeAll(async () => {
    cluster = await startCluster({ config });
  }, 120_000);

  afterAll(async () => {
    await cluster.down();
    rmSync(certificates, { recursive: true, force: true });
  }, 60_000);

  test('TLS is switched on node by node under a volume that goes on', async () => {
    const { id, device, replicaNodes } = await createAttached(cluster, 3, 256 * miB);
    const [attachedOn = '', other = ''] = replicaNodes;
    const load = verifyingLoad(cluster, attachedOn, device, 20);
    config.tls = tls;
    for (const { name } of cluster.nodeLayouts) {
      await cluster.killProcess(name, 'px-node');
      await waitDaemonEnd(cluster, name);
      await cluster.startNode(name);
    }
    await load.done;
    await healedAndEqual(cluster, attachedOn, id, 3);
    // A node that has it not attached asks the one that has, over the management port.
    await cluster.api(other).ResizeVolume({ id_or_name: id, size_bytes: String(320 * miB) });
    for (const { name, runDir } of cluster.nodeLayouts) {
      const engine = JSON.parse(readFileSync(join(runDir, 'engine.json'), 'utf8')) as object;
      expect(engine).toMatchObject({ tls });
      expect(readFileSync(join(runDir, 'holder.log'), 'utf8')).toContain('the TLS relay serves');
      expect((await cluster.api(name).GetVolume({ id_or_name: id })).status).toBe('up');
    }
    await detachAndDelete(cluster, id, attachedOn);
  }, 180_000);
});
