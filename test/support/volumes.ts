import type { Volume__Output } from '../../src/gen/px/v1/Volume.js';
import type { DevCluster } from '../../tools/devcluster/cluster.js';
import { FioRun } from '../../tools/lib/fio.js';
import { checkEqual, waitInSync } from '../../tools/lib/kubernetes.js';
import { waitFor } from '../../tools/lib/wait.js';

export const miB = 1024 ** 2;
export const giB = 1024 ** 3;

/** A volume attached on the node of its first replica. */
export interface AttachedVolume {
  readonly id: string;
  readonly name: string;
  readonly device: string;
  /** Names of nodes, that of the attached one first. */
  readonly replicaNodes: readonly string[];
}

let counter = 0;

export async function createVolume(
  cluster: DevCluster,
  replicas: number,
  sizeBytes: number,
  nodes: readonly string[] = [],
): Promise<Volume__Output> {
  const name = `vol-${process.pid}-${(counter += 1)}`;
  return cluster.api('n1').CreateVolume({
    name,
    spec: {
      size_bytes: String(sizeBytes),
      replicas,
      fs: 'none',
      nodes: nodes.map((node) => cluster.id(node)),
    },
  });
}

export async function attach(cluster: DevCluster, id: string, node: string): Promise<string> {
  const answer = await cluster.api(node).AttachVolume({ id_or_name: id, frontend: 'fuse' });
  return answer.device_path;
}

/**
 * Attaches where the last node died without a word: refused as long as that
 * node counts as alive, and tried again, as Kubernetes does.
 */
export async function attachAfterLoss(
  cluster: DevCluster,
  id: string,
  node: string,
): Promise<string> {
  return waitFor(`attach of ${id} on ${node}`, 30_000, () => attach(cluster, id, node), 250);
}

export async function createAttached(
  cluster: DevCluster,
  replicas: number,
  sizeBytes: number,
  nodes: readonly string[] = [],
): Promise<AttachedVolume> {
  const volume = await createVolume(cluster, replicas, sizeBytes, nodes);
  const replicaNodes = volume.replicas.map((replica) => replica.node_name);
  const first = nodes[0] ?? replicaNodes[0] ?? 'n1';
  const device = await attach(cluster, volume.id, first);
  const rest = replicaNodes.filter((node) => node !== first);
  return { id: volume.id, name: volume.name, device, replicaNodes: [first, ...rest] };
}

export async function detachAndDelete(
  cluster: DevCluster,
  id: string,
  node: string,
): Promise<void> {
  await cluster.api(node).DetachVolume({ id_or_name: id });
  await cluster.api(node).DeleteVolume({ id_or_name: id });
}

/** fio that verifies what it wrote, paced so that it lasts for about `seconds`. */
export function verifyingLoad(
  cluster: DevCluster,
  node: string,
  device: string,
  seconds: number,
): FioRun {
  const megabytesPerSecond = 12;
  return new FioRun(
    {
      filename: device,
      size: `${megabytesPerSecond * seconds}M`,
      rw: 'randwrite',
      bsrange: '4k-64k',
      bs_unaligned: 0,
      blockalign: '4k',
      ioengine: 'libaio',
      iodepth: 8,
      direct: 1,
      fsync: 64,
      rate: `${megabytesPerSecond}m`,
      verify: 'crc32c',
      verify_fatal: 1,
      randseed: 42,
    },
    { tag: cluster.layout.tag, node },
  );
}

export async function replicaState(
  cluster: DevCluster,
  via: string,
  id: string,
  node: string,
): Promise<string> {
  const volume = await cluster.api(via).GetVolume({ id_or_name: id });
  return volume.replicas.find((replica) => replica.node_name === node)?.state ?? 'none';
}

export async function waitOut(
  cluster: DevCluster,
  via: string,
  id: string,
  node: string,
): Promise<void> {
  await waitFor(`replica on ${node} taken out`, 30_000, async () =>
    (await replicaState(cluster, via, id, node)) === 'in_sync' ? undefined : true,
  );
}

export async function healed(
  cluster: DevCluster,
  via: string,
  id: string,
  replicas: number,
): Promise<void> {
  await waitInSync(cluster, via, id, replicas, 90_000);
}

/** All replicas are back, and all are the same. */
export async function healedAndEqual(
  cluster: DevCluster,
  via: string,
  id: string,
  replicas: number,
): Promise<void> {
  await healed(cluster, via, id, replicas);
  await expectEqual(cluster, via, id, replicas);
}

export async function expectEqual(
  cluster: DevCluster,
  via: string,
  id: string,
  replicas: number,
): Promise<void> {
  const { bytes } = await checkEqual(cluster, via, id, replicas);
  expect(bytes).toBeGreaterThan(0);
}
