import path from 'node:path';
import { waitFor } from '../../../tools/lib/wait.js';
import type { KubernetesCluster } from '../cluster/cluster.js';
import { ExternalEtcd } from '../cluster/external-etcd.js';
import { diskPath } from '../cluster/layout.js';
import { checkNothingLost } from '../node-operations/setting.js';
import {
  chartValues,
  installSnapshotApi,
  pxImages,
  release,
  storageCluster,
  systemNamespace,
  waitRunning,
} from '../px/install-px.js';
import { waitNothingLeft } from '../px/leftovers.js';
import { outOfService, storageNode, waitInService, waitOnline } from '../px/nodes.js';
import { storageClass } from '../px/objects.js';
import {
  checkDisks,
  checkNoObjects,
  checkNoState,
  checkNothingRuns,
  uninstall,
} from '../px/removal.js';
import { listVolumes, waitAllInSync } from '../px/volumes.js';
import { VolumeWriter } from '../px/writer.js';
import { check } from '../runner/check.js';
import type { CaseHelpers, KubernetesCase } from '../runner/types.js';

const className = 'external-etcd';
const secretName = 'px-etcd';
const inSystem = ['-n', systemNamespace];
/** Has no device that px may take; the others have all of theirs. */
const storageless = 'node-3';
const installTimeoutMs = 300_000;
const promisedMs = 60_000;

/**
 * px with an etcd of somebody else's: with a password and certificates, away
 * for a while, and clean when px is gone. One node stores nothing, and the
 * policy asks that a node which only the API server misses is failed over.
 */
export const externalEtcd: KubernetesCase = {
  name: 'external-etcd',
  timeoutMs: 15 * 60_000,
  images: [...pxImages, 'busybox'],
  run: async (cluster, helpers) => {
    const { step } = helpers;
    const there = await cluster.tryHelm(['status', release, ...inSystem]);
    check(there.code !== 0, 'px is installed already; this case brings its own');
    const etcd = new ExternalEtcd(cluster);
    await step('an etcd with users and certificates', () => etcd.found());
    await installSnapshotApi(cluster, helpers.rootDir);
    await step('helm install waits for the Secret', () =>
      installWithoutSecret(etcd, cluster, helpers),
    );
    await step('with the Secret the StorageCluster runs', async () => {
      await cluster.apply(secret(await etcd.credentials()));
      await waitRunning(cluster);
    });
    await checkNodes(cluster);
    await cluster.apply(storageClass(className, { repl: '2', fs: 'ext4' }));
    const mover = new VolumeWriter(cluster, helpers.namespace, 'mover');
    const bystander = new VolumeWriter(cluster, helpers.namespace, 'bystander');
    await step('rows are written, also where nothing is stored', async () => {
      await mover.deploy(className, storageless);
      await bystander.deploy(className, 'node-1');
      await checkPlacement(cluster, mover);
    });
    await step('etcd dies and comes back; rows go on', () => loseEtcd(etcd, cluster, bystander));
    check((await mover.errorsSince(0)).length === 0, 'a writer had errors while etcd was away');
    await cutFromApi(cluster, helpers, mover);
    await checkNothingLost({ cluster, helpers, mover, bystander });
    await step('the writers end', async () => {
      await mover.remove();
      await bystander.remove();
      await waitNothingLeft(cluster, 60_000);
      await cluster.kubectl(['delete', 'storageclass', className]);
    });
    await step('uninstall, strategy UninstallAndWipe', () => uninstall(cluster));
    await checkNoObjects(cluster, [`secret/${secretName}`]);
    await checkNothingRuns(cluster);
    await checkDisks(cluster, false);
    await checkNoState(cluster);
    const keys = await etcd.keys();
    check(keys.length === 0, `records are left in etcd: ${keys.slice(0, 10).join(', ')}`);
    await cluster.kubectl(['delete', 'secret', secretName, ...inSystem]);
    await etcd.kill();
  },
};

function values(etcd: ExternalEtcd, cluster: KubernetesCluster): Record<string, unknown> {
  const { drives: all, ...rest } = chartValues(cluster);
  const devices = String(all).split(';');
  const withStorage = cluster.nodes.filter(({ name }) => name !== storageless);
  return {
    ...rest,
    // No node has this one. Those with storage name their own.
    drives: diskPath(cluster.options.disks + 1),
    nodesConfiguration: withStorage.map(({ name }) => ({
      selector: { nodeName: name },
      storage: { devices },
    })),
    internalKVDB: false,
    etcdEndPoint: etcd.endpoint,
    kvdb: { authSecretName: secretName },
    runtimeOptions: 'log-level=debug;failover-when-unreachable=true',
    deleteStrategy: { type: 'UninstallAndWipe' },
  };
}

function secret(stringData: Readonly<Record<string, string>>): object {
  const metadata = { name: secretName, namespace: systemNamespace };
  return { apiVersion: 'v1', kind: 'Secret', metadata, stringData };
}

async function installWithoutSecret(
  etcd: ExternalEtcd,
  cluster: KubernetesCluster,
  helpers: CaseHelpers,
): Promise<void> {
  const chart = path.join(helpers.rootDir, 'deploy/helm');
  const where = [...inSystem, '--create-namespace', '--values', '-'];
  await cluster.helm(['install', release, chart, ...where], {
    input: JSON.stringify(values(etcd, cluster)),
    timeoutMs: installTimeoutMs,
  });
  const message = 'jsonpath={.status.conditions[?(@.type=="Preflight")].message}';
  const ask = ['get', 'storagecluster', storageCluster, ...inSystem, '-o', message];
  const said = await waitFor('word of the preflight checks', 120_000, async () => {
    const text = await cluster.kubectl(ask);
    return text === '' ? undefined : text;
  });
  check(said.includes(`no Secret ${secretName}`), `the preflight checks say "${said}"`);
  const made = await cluster.kubectl(['get', 'daemonsets', ...inSystem, '-o', 'name']);
  check(made.trim() === '', `made without the Secret: ${made}`);
}

/** Each node is well, one of them stores nothing, and none runs an etcd. */
async function checkNodes(cluster: KubernetesCluster): Promise<void> {
  for (const { name } of cluster.nodes) {
    await waitOnline(cluster, name, 120_000);
    const { status } = (await storageNode(cluster, name)) ?? {};
    const stores = status?.nodeAttributes?.storage === true;
    check(stores === (name !== storageless), `${name} stores: ${stores}`);
    check(status?.nodeAttributes?.kvdb === false, `${name} counts as a member of a kvdb`);
    const processes = await cluster.nodeExec(name, ['ps', '-eo', 'args']);
    check(!/^etcd /m.test(processes), `${name} runs an etcd`);
  }
}

async function checkPlacement(cluster: KubernetesCluster, mover: VolumeWriter): Promise<void> {
  check((await mover.node()) === storageless, `${mover.pod} is not on ${storageless}`);
  const { status } = (await storageNode(cluster, storageless)) ?? {};
  for (const { id, replicas } of await listVolumes(cluster)) {
    check(replicas.length === 2, `${id} has ${replicas.length} replicas`);
    const there = replicas.some((replica) => replica.node_id === status?.nodeUid);
    check(!there, `${id} has a replica on ${storageless}, which stores nothing`);
  }
}

/** What is attached goes on; who asks about the nodes is told what is missing. */
async function loseEtcd(
  etcd: ExternalEtcd,
  cluster: KubernetesCluster,
  writer: VolumeWriter,
): Promise<void> {
  await etcd.kill();
  await waitFor('NotInQuorum on every node', 90_000, async () => {
    const all = await Promise.all(cluster.nodes.map(({ name }) => storageNode(cluster, name)));
    return all.every((node) => node?.status?.phase === 'NotInQuorum') ? true : undefined;
  });
  await writer.goesOn(20_000);
  await etcd.start();
  for (const { name } of cluster.nodes) await waitOnline(cluster, name, 90_000);
  await writer.goesOn(20_000);
  const errors = await writer.errorsSince(0);
  check(errors.length === 0, `${writer.name} had errors: ${errors.slice(0, 5).join('; ')}`);
}

/** The API server alone has lost the node, where px is well and a pod writes. */
async function cutFromApi(
  cluster: KubernetesCluster,
  { step, say }: CaseHelpers,
  mover: VolumeWriter,
): Promise<void> {
  const beganMs = performance.now();
  await step(
    `${storageless} is cut off from the API server, and its pod runs elsewhere`,
    async () => {
      await cluster.partition(storageless, 'api');
      await mover.goesOn(promisedMs + 30_000, (name) => name !== storageless);
    },
  );
  const tookMs = performance.now() - beganMs;
  say(`written elsewhere ${(tookMs / 1000).toFixed(1)} s after the cut`);
  check(tookMs < promisedMs, `it took ${tookMs} ms, and ${promisedMs} ms are promised`);
  const marks = await outOfService(cluster, storageless);
  check(marks.includes('px.io/fenced=unreachable'), `marked as ${marks.join(', ')}`);
  const onOld = (await mover.acknowledgedOn(storageless)).length;
  await mover.goesOn(20_000);
  await step(`${storageless} is healed and in service`, async () => {
    await cluster.heal(storageless);
    await cluster.waitNodesReady();
    await waitInService(cluster, storageless, 90_000);
    await waitOnline(cluster, storageless, 60_000);
    await waitAllInSync(cluster, 120_000);
  });
  const later = (await mover.acknowledgedOn(storageless)).length;
  check(later === onOld, `${storageless} acknowledged ${later - onOld} rows after its fence`);
}
