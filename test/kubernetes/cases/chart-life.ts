import path from 'node:path';
import { waitFor } from '../../../tools/lib/wait.js';
import type { KubernetesCluster } from '../cluster/cluster.js';
import { buildImages } from '../images/build-images.js';
import { asNextVersion } from '../images/next-version.js';
import { DatabaseUnderLoad } from '../px/database.js';
import {
  ensurePx,
  pxImages,
  release,
  storageCluster,
  systemNamespace,
  waitRunning,
} from '../px/install-px.js';
import { claim, podWith } from '../px/objects.js';
import { waitNothingLeft } from '../px/leftovers.js';
import {
  checkDisks,
  checkNoObjects,
  checkNoState,
  checkNothingRuns,
  uninstall,
  uninstallTimeoutMs,
} from '../px/removal.js';
import { check } from '../runner/check.js';
import type { CaseHelpers, KubernetesCase } from '../runner/types.js';

const nextVersion = '99.0.0';
const rollTimeoutMs = 360_000;
/** What a client of the database may wait while a node's engine is replaced. */
const longestPauseMs = 30_000;
const inSystem = ['-n', systemNamespace];
const reuse = [...inSystem, '--reset-then-reuse-values', '--wait'];

/** The chart as a person uses it over the years: upgrade, test, refusal, both removals. */
export const chartLife: KubernetesCase = {
  name: 'chart-life',
  timeoutMs: 30 * 60_000,
  images: [...pxImages, 'postgres', 'busybox'],
  run: async (cluster, helpers) => {
    await ensurePx(cluster, helpers);
    const chart = await makeNextRelease(cluster, helpers);
    const database = new DatabaseUnderLoad(cluster, helpers.namespace);
    await helpers.step('PostgreSQL is up', () => database.deploy(helpers.rootDir));
    await database.startWriter(await database.node());
    await upgradeUnderLoad(cluster, helpers, database, chart);
    await helpers.step('helm test', () =>
      cluster.helm(['test', release, ...inSystem], { timeoutMs: 300_000 }),
    );
    await helpers.step('uninstall is refused while a volume is attached', () =>
      refused(cluster, 'volumes are in use'),
    );
    await helpers.step('the database is removed', () => database.stop());
    await removeAndReturn(cluster, helpers, chart, '');
    await removeAndReturn(cluster, helpers, chart, 'Uninstall');
    await removeAll(cluster, helpers, chart);
  },
};

async function makeNextRelease(cluster: KubernetesCluster, helpers: CaseHelpers): Promise<string> {
  const { rootDir, artifactDir, say } = helpers;
  const [image] = await buildImages({ rootDir, only: ['px'], say });
  check(image !== undefined, 'there is no image of px');
  const archive = await asNextVersion({
    ...{ rootDir, archive: image.tar, version: nextVersion },
    workDir: path.join(artifactDir, 'next'),
  });
  await helpers.step('the next release is on each node', () => cluster.loadImage(archive));
  const versions = ['--version', nextVersion, '--app-version', nextVersion];
  const source = path.join(rootDir, 'deploy/helm');
  await cluster.helm(['package', source, ...versions, '--destination', artifactDir]);
  return path.join(artifactDir, `px-${nextVersion}.tgz`);
}

async function upgradeUnderLoad(
  cluster: KubernetesCluster,
  helpers: CaseHelpers,
  database: DatabaseUnderLoad,
  chart: string,
): Promise<void> {
  const before = await cluster.kubectl(restartsOf(helpers.namespace));
  const beganMs = Date.now();
  await helpers.step('helm upgrade', () =>
    cluster.helm(['upgrade', release, chart, ...reuse], { timeoutMs: rollTimeoutMs }),
  );
  await helpers.step('every node runs the next release', () => waitVersion(cluster));
  await waitRunning(cluster);
  const times = (await database.acknowledged())
    .map(({ atMs }) => atMs)
    .filter((atMs) => atMs > beganMs);
  const pauses = times.slice(1).map((atMs, index) => atMs - (times[index] ?? atMs));
  const longestMs = Math.max(...pauses);
  helpers.say(`${times.length} rows during the upgrade, the longest pause was ${longestMs} ms`);
  const lost = await database.lostRows();
  check(lost.length === 0, `acknowledged rows are lost: ${lost.slice(0, 20).join(', ')}`);
  check(longestMs < longestPauseMs, `the database paused for ${longestMs} ms`);
  const after = await cluster.kubectl(restartsOf(helpers.namespace));
  check(after === before, `pods were restarted: ${before} is now ${after}`);
}

function restartsOf(namespace: string): string[] {
  const what = '{range .items[*]}{.metadata.uid}={.status.containerStatuses[0].restartCount} {end}';
  return ['get', 'pods', '-n', namespace, '-o', `jsonpath=${what}`];
}

/** StorageNodes tell what runs on the node, which is what counts. */
async function waitVersion(cluster: KubernetesCluster): Promise<void> {
  const versions = ['get', 'storagenodes', ...inSystem, '-o', 'jsonpath={.items[*].spec.version}'];
  const wanted = cluster.nodes.map(() => nextVersion).join(' ');
  await waitFor(
    `version ${nextVersion} on every node`,
    rollTimeoutMs,
    async () => ((await cluster.kubectl(versions)) === wanted ? true : undefined),
    2_000,
  );
}

/** Nothing may have been deleted, and the release must be of use again. */
async function refused(cluster: KubernetesCluster, words: string): Promise<void> {
  const ended = await cluster.tryHelm(['uninstall', release, ...inSystem], {
    timeoutMs: uninstallTimeoutMs,
  });
  check(ended.code !== 0, 'the uninstallation was not refused');
  const said = `${ended.stdout}${ended.stderr}`;
  check(said.includes(words), `not refused for "${words}": ${said.slice(-1000)}`);
  const deleted = ['get', 'storagecluster', storageCluster, ...inSystem];
  const stamp = await cluster.kubectl([...deleted, '-o', 'jsonpath={.metadata.deletionTimestamp}']);
  check(stamp === '', 'the StorageCluster is being deleted');
  const history = await cluster.helm(['history', release, ...inSystem, '-o', 'json']);
  const revision = (JSON.parse(history) as { revision: number }[]).at(-1)?.revision;
  await cluster.helm(['rollback', release, String(revision), ...inSystem]);
}

/** Whatever ends on the nodes, the data stays: the same cluster is back with the next release. */
async function removeAndReturn(
  cluster: KubernetesCluster,
  helpers: CaseHelpers,
  chart: string,
  strategy: '' | 'Uninstall',
): Promise<void> {
  const { namespace } = helpers;
  await cluster.apply(claim(namespace, 'kept', { storageClassName: 'px-csi-replicated' }));
  await usePod(cluster, namespace, 'echo what was kept > /data/file && sync');
  if (strategy !== '') await setStrategy(cluster, chart, strategy);
  const values = await cluster.helm(['get', 'values', release, ...inSystem, '-o', 'json']);
  await helpers.step(`uninstall, strategy "${strategy}"`, () => uninstall(cluster));
  await checkNoObjects(cluster, ['configmap/px-kvdb']);
  for (const { name } of cluster.nodes) {
    const state = await cluster.nodeExec(name, ['ls', '/var/lib/px']);
    check(state.includes('identity.json'), `${name} has lost its identity: ${state}`);
  }
  if (strategy !== '') await checkNothingRuns(cluster);
  await checkDisks(cluster, true);
  await helpers.step('installed again', () => install(cluster, chart, values));
  await usePod(cluster, namespace, 'grep -q "what was kept" /data/file');
  await cluster.kubectl(['delete', 'pvc', '-n', namespace, 'kept']);
  await waitNothingLeft(cluster, 120_000);
}

async function removeAll(
  cluster: KubernetesCluster,
  helpers: CaseHelpers,
  chart: string,
): Promise<void> {
  const { namespace } = helpers;
  await setStrategy(cluster, chart, 'UninstallAndWipe');
  await cluster.apply(claim(namespace, 'bound', { storageClassName: 'px-csi-replicated' }));
  await cluster.waitFor('pvc/bound', 'jsonpath={.status.phase}=Bound', 120_000, namespace);
  await helpers.step('uninstall is refused while a claim is bound', () =>
    refused(cluster, `${namespace}/bound`),
  );
  await cluster.kubectl(['delete', 'pvc', '-n', namespace, 'bound']);
  await waitNothingLeft(cluster, 120_000);
  await helpers.step('uninstall, strategy UninstallAndWipe', () => uninstall(cluster));
  await checkNoObjects(cluster, []);
  await checkNothingRuns(cluster);
  await checkDisks(cluster, false);
  await checkNoState(cluster);
}

async function install(cluster: KubernetesCluster, chart: string, values: string): Promise<void> {
  const where = [...inSystem, '--create-namespace', '--values', '-'];
  await cluster.helm(['install', release, chart, ...where], { input: values, timeoutMs: 120_000 });
  await waitRunning(cluster);
}

async function setStrategy(
  cluster: KubernetesCluster,
  chart: string,
  strategy: string,
): Promise<void> {
  const set = ['--set', `deleteStrategy.type=${strategy}`];
  await cluster.helm(['upgrade', release, chart, ...reuse, ...set], { timeoutMs: rollTimeoutMs });
}

async function usePod(
  cluster: KubernetesCluster,
  namespace: string,
  command: string,
): Promise<void> {
  await cluster.apply(podWith(namespace, 'user', 'kept'));
  await cluster.waitFor('pod/user', 'condition=Ready', 120_000, namespace);
  await cluster.kubectl(['exec', '-n', namespace, 'user', '--', 'sh', '-c', command]);
  await cluster.kubectl(['delete', 'pod', '-n', namespace, 'user'], { timeoutMs: 60_000 });
  // The attachment goes a moment after the pod.
  await waitFor('end of the attachment', 60_000, async () => {
    const left = await cluster.kubectl(['get', 'volumeattachments', '-o', 'name']);
    return left.trim() === '' ? true : undefined;
  });
}
