import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { connectNode } from '../../src/platform/grpc-client.js';
import { defaultOptions, upCluster, downCluster } from '../../tools/devcluster/cluster.js';
import { startCsiOn } from '../support/csi-harness.js';
import { startFakePxNode } from '../support/fake-px-node.js';

/** The two servers that csi-sanity talks to. */
export interface SanityTarget {
  readonly described: string;
  readonly controllerSocket: string;
  readonly nodeSocket: string;
  close(): Promise<void>;
}

/** Three real px-nodes. The controller and the node under test are two of them. */
export async function realTarget(rootDir: string): Promise<SanityTarget> {
  const dir = await mkdtemp(join(tmpdir(), 'px-sanity-'));
  const close = async (): Promise<void> => {
    await downCluster(dir);
    await rm(dir, { recursive: true, force: true });
  };
  try {
    const cluster = await upCluster({ ...defaultOptions, rootDir, dir });
    const [first, second] = await cluster.info();
    cluster.closeClients();
    if (first === undefined || second === undefined)
      throw new Error('the cluster has no two nodes');
    return {
      described: 'a cluster of three px-nodes',
      controllerSocket: first.csiSocket,
      nodeSocket: second.csiSocket,
      close,
    };
  } catch (error) {
    await close().catch(() => undefined);
    throw error;
  }
}

/** For work on px-csi alone: the real CSI servers over a px-node that is a FAKE. */
export async function fakeTarget(rootDir: string): Promise<SanityTarget> {
  const protoDir = join(rootDir, 'proto');
  const dir = await mkdtemp(join(tmpdir(), 'px-sanity-fake-'));
  const fake = await startFakePxNode(protoDir);
  const px = connectNode(fake.address, { timeoutMs: 30_000, protoDir });
  const socket = join(dir, 'csi.sock');
  const server = await startCsiOn(px, protoDir, socket);
  return {
    described: 'a FAKE px-node (no cluster behind it)',
    controllerSocket: socket,
    nodeSocket: socket,
    close: async () => {
      await server.close(1_000);
      px.close();
      await fake.close();
      await rm(dir, { recursive: true, force: true });
    },
  };
}
