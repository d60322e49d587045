import { overcommitFactor } from '../../../src/dataplane/cluster/placement.js';
import { parseQuantityBytes } from '../../../src/kernel/quantity.js';
import { waitFor } from '../../../tools/lib/wait.js';
import type { KubernetesCluster } from '../cluster/cluster.js';
import { check } from '../runner/check.js';
import type { CaseHelpers, KubernetesCase } from '../runner/types.js';
import { ensurePx, pxImages, systemNamespace } from '../px/install-px.js';
import { waitNothingLeft } from '../px/leftovers.js';
import { claim, podWith, storageClass } from '../px/objects.js';
import { pxctl } from '../px/volumes.js';

const patienceMs = 180_000;
const className = 'storage-capacity';
const bigClassName = 'storage-capacity-big';
const replicas = 2;
const gib = 2 ** 30;

interface Capacity {
  readonly nodeTopology?: { readonly matchLabels?: Readonly<Record<string, string>> };
  readonly storageClassName: string;
  readonly capacity?: string;
  readonly maximumVolumeSize?: string;
}

interface ListOf<T> {
  readonly items: readonly T[];
}

interface PxPool {
  readonly total_bytes: string;
  readonly available_bytes: string;
  readonly provisioned_bytes: string;
}

type PxNodes = readonly { readonly pools: readonly PxPool[] }[];

async function pxNodes(cluster: KubernetesCluster): Promise<PxNodes> {
  const told = JSON.parse(await pxctl(cluster, ['-j', 'status'])) as {
    readonly cluster: { readonly nodes: PxNodes };
  };
  return told.cluster.nodes;
}

/** What px itself says of a volume with so many replicas: the largest, and the room there is. */
function roomOf(nodes: PxNodes): { maximumBytes: number; availableBytes: number } {
  const promises = nodes
    .map(({ pools }) =>
      Math.max(
        ...pools.map(
          (pool) => Number(pool.total_bytes) * overcommitFactor - Number(pool.provisioned_bytes),
        ),
      ),
    )
    .sort((a, b) => b - a);
  const available = nodes.flatMap(({ pools }) => pools.map((pool) => Number(pool.available_bytes)));
  return {
    maximumBytes: promises[replicas - 1] ?? 0,
    availableBytes: available.reduce((sum, bytes) => sum + bytes, 0) / replicas,
  };
}

async function capacities(cluster: KubernetesCluster): Promise<readonly Capacity[]> {
  const where = ['csistoragecapacities', '-n', systemNamespace];
  const { items } = await cluster.get<ListOf<Capacity>>(where);
  return items.filter((item) => item.storageClassName === className);
}

/** Every node is in one segment, and each segment has what px has; answers the largest volume. */
async function waitRight(cluster: KubernetesCluster): Promise<number> {
  const { items: nodes } = await cluster.get<
    ListOf<{ readonly metadata: { readonly labels: Readonly<Record<string, string>> } }>
  >(['nodes']);
  let seen = '';
  return waitFor('right CSIStorageCapacity of every node', patienceMs, async () => {
    const published = await capacities(cluster);
    const room = roomOf(await pxNodes(cluster));
    seen = JSON.stringify({ room, published });
    const segments = nodes.map(({ metadata }) =>
      published.filter(({ nodeTopology }) =>
        Object.entries(nodeTopology?.matchLabels ?? { none: '' }).every(
          ([key, value]) => metadata.labels[key] === value,
        ),
      ),
    );
    const right = published.every(({ capacity = '0', maximumVolumeSize = '0' }) => {
      // What is free is told in whole GiB; what can be promised, exactly.
      const off = Math.abs(parseQuantityBytes(capacity, 'capacity') - room.availableBytes);
      const maximumBytes = parseQuantityBytes(maximumVolumeSize, 'maximumVolumeSize');
      return maximumBytes === room.maximumBytes && off <= gib;
    });
    const one = published.length === nodes.length && segments.every(({ length }) => length === 1);
    return one && right ? room.maximumBytes : undefined;
  }).catch((error: unknown) => {
    throw new Error(`the capacities are not right: ${seen}`, { cause: error });
  });
}

/** Takes half of what every pool can still promise, one volume a pool; answers their size. */
async function provisionBig(
  cluster: KubernetesCluster,
  { namespace }: CaseHelpers,
): Promise<readonly string[]> {
  const nodes = await pxNodes(cluster);
  const poolCount = Math.max(...nodes.map(({ pools }) => pools.length));
  const halfGib = Math.floor(roomOf(nodes).maximumBytes / gib / 2);
  const names = Array.from({ length: poolCount }, (_, index) => `big-${index}`);
  for (const name of names) {
    const spec = { storageClassName: bigClassName };
    await cluster.apply(claim(namespace, name, spec, `${halfGib}Gi`));
    const bound = 'jsonpath={.status.phase}=Bound';
    await cluster.waitFor([`pvc/${name}`, '-n', namespace], bound, patienceMs);
  }
  return names;
}

async function waitUnschedulable(
  cluster: KubernetesCluster,
  namespace: string,
  pod: string,
  nodeCount: number,
): Promise<void> {
  const selector = `involvedObject.name=${pod},reason=FailedScheduling`;
  const where = ['events', '-n', namespace, '--field-selector', selector];
  await waitFor(`event that ${pod} finds no room`, patienceMs, async () => {
    const { items } = await cluster.get<ListOf<{ readonly message: string }>>(where);
    const words = `${nodeCount} node(s) did not have enough free storage`;
    return items.some(({ message }) => message.includes(words)) ? true : undefined;
  });
}

/** What the scheduler knows of the room that px has, and what it makes of it. */
export const storageCapacity: KubernetesCase = {
  name: 'storage-capacity',
  timeoutMs: 12 * 60_000,
  images: [...pxImages, 'busybox'],
  run: async (cluster, helpers) => {
    await ensurePx(cluster, helpers);
    const { namespace, step } = helpers;
    const running = (pod: string): Promise<void> =>
      cluster.waitFor(`pod/${pod}`, 'condition=Ready', patienceMs, namespace);
    const late = storageClass(className, { repl: String(replicas), fs: 'xfs' });
    await cluster.apply(
      { ...late, volumeBindingMode: 'WaitForFirstConsumer' },
      storageClass(bigClassName, { repl: '3' }),
    );
    const before = await step('each node has its capacity', () => waitRight(cluster));
    const big = await provisionBig(cluster, helpers);
    const after = await step('it shrinks by what is promised', () => waitRight(cluster));
    check(after < before - gib, `${before} bytes were left, and ${after} after a large volume`);

    const wantedGib = Math.floor((before + after) / 2 / gib);
    const user = { storageClassName: className };
    await cluster.apply(
      claim(namespace, 'large', user, `${wantedGib}Gi`),
      podWith(namespace, 'large', 'large'),
      claim(namespace, 'small', user),
      podWith(namespace, 'small', 'small'),
    );
    await step('a pod whose claim fits runs', () => running('small'));
    await step('one whose claim fits nowhere waits, and its event says why', () =>
      waitUnschedulable(cluster, namespace, 'large', cluster.nodes.length),
    );
    const { spec, status } = await cluster.get<{
      readonly spec: { readonly volumeName?: string };
      readonly status: { readonly phase: string };
    }>(['pvc', 'large', '-n', namespace]);
    check(status.phase === 'Pending' && spec.volumeName === undefined, 'the large claim is bound');

    await cluster.kubectl(['delete', 'pvc', '-n', namespace, ...big]);
    await step('it runs once there is room', () => running('large'));
    await cluster.kubectl(['delete', 'pod', '-n', namespace, 'large', 'small']);
    await cluster.kubectl(['delete', 'pvc', '-n', namespace, '--all', '--wait=false']);
    await step('all of it is gone again', () => waitNothingLeft(cluster, patienceMs));
    await cluster.kubectl(['delete', 'storageclass', className, bigClassName]);
    await step('a class that is gone has no capacity', () =>
      waitFor('end of the capacities', patienceMs, async () =>
        (await capacities(cluster)).length === 0 ? true : undefined,
      ),
    );
  },
};
