import { resources } from '../../crds/resources.js';
import { isKvdbInternal, type StorageCluster } from '../../crds/storage-cluster.js';
import type { KubeObject, ReconcileResult } from '../ports.js';
import { pxView } from '../px-view.js';
import { buildPlan } from './build-plan.js';
import { nextDeletionStep, type DeletionInput, type DeletionNode } from './deletion.js';
import { isNodeReady, type PersistentVolume } from './kubernetes-types.js';
import { annotationKeys, driverName, finalizer, labelKeys, names } from './names.js';
import { findOwned } from './observe.js';
import { observe, readSecrets, specOf } from './run-cluster.js';
import { describeProblem, podProblems } from './pod-problems.js';
import type { Plan } from './plan.js';
import type { Found } from './prune.js';
import type { Tools } from './tools.js';

/** Nothing tells that a volume was detached by hand. */
const refusedAgainMs = 15_000;
const againMs = 5_000;

export async function uninstallCluster(
  tools: Tools,
  cluster: StorageCluster,
): Promise<ReconcileResult> {
  const input = await deletionInput(tools, cluster);
  const step = nextDeletionStep(input);
  const { context } = tools;
  tools.events.say(
    cluster,
    'Warning',
    'DeletionRefused',
    step.refused && step.condition.message !== undefined ? [step.condition.message] : [],
  );
  await tools.status.write(cluster, {
    ...cluster.status,
    phase: 'Uninstalling',
    reason: step.condition.message ?? '',
    conditions: [step.condition],
  });
  for (const { resource, object } of step.remove) await remove(tools, { resource, object });
  for (const manifest of step.make) await context.kube.apply(resources.job, manifest);
  if (step.done) {
    await removeLeases(tools);
    await release(tools, cluster);
    return undefined;
  }
  return { requeueAfterMs: step.refused ? refusedAgainMs : againMs };
}

async function deletionInput(tools: Tools, cluster: StorageCluster): Promise<DeletionInput> {
  const spec = specOf(cluster);
  const observed = await observe(tools, cluster, spec, await readSecrets(tools, spec));
  // Without the name in the status nothing was ever begun on any node.
  const begun = (cluster.status?.clusterName ?? '') !== '';
  const strategy = spec.deleteStrategy?.type;
  const owned = (await findOwned(tools.context, tools.caches)).filter(
    ({ object: { kind, metadata } }) =>
      metadata.labels?.[labelKeys.cluster] === cluster.metadata.name &&
      // Where the key-value store lies stays with the data.
      (strategy === 'UninstallAndWipe' || kind !== 'ConfigMap' || metadata.name !== names.kvdb),
  );
  return {
    strategy,
    plan: begun ? buildPlan(observed) : undefined,
    kvdbIsInternal: isKvdbInternal(spec),
    attached: strategy === undefined ? [] : await attachedVolumes(tools),
    claims: tools.caches.volumes.all().filter(isBound).map(claimOf),
    leaving: tools.caches.volumes
      .all()
      .filter(isLeaving)
      .map(({ metadata }) => metadata.name),
    owned,
    pods: tools.caches.pods.all(),
    wiperProblems: podProblems(tools.caches.pods.all())
      .filter(({ component }) => component === 'wipe')
      .map(describeProblem),
    nodes: deletionNodes(tools, cluster, buildPlan(observed)),
  };
}

function isOurs({ spec }: PersistentVolume): boolean {
  return spec?.csi?.driver === driverName;
}

function isBound(volume: PersistentVolume): boolean {
  return isOurs(volume) && volume.status?.phase === 'Bound';
}

function claimOf({ metadata, spec }: PersistentVolume): string {
  const claim = spec?.claimRef;
  return claim === undefined ? metadata.name : `${claim.namespace ?? ''}/${claim.name ?? ''}`;
}

/** One whose deletion has failed, or that is to be retained, is nothing to wait for. */
function isLeaving(volume: PersistentVolume): boolean {
  const { spec, status } = volume;
  return (
    isOurs(volume) &&
    spec?.persistentVolumeReclaimPolicy === 'Delete' &&
    status?.phase === 'Released'
  );
}

async function attachedVolumes({ caches, context }: Tools): Promise<readonly string[]> {
  const byKubernetes = caches.attachments
    .all()
    .filter(({ spec }) => spec?.attacher === driverName)
    .map(({ spec }) => `${spec?.source?.persistentVolumeName ?? '?'} on ${spec?.nodeName ?? '?'}`);
  if (byKubernetes.length > 0) return byKubernetes;
  const running = caches.pods
    .all()
    .some(({ metadata }) => metadata.labels?.[labelKeys.component] === 'node');
  if (!running) return [];
  // Attached by hand, without Kubernetes. Once its pods are gone, px answers no
  // more, and the wiper itself refuses to end what is in use.
  const volumes = await pxView(context)
    .volumes(0)
    .catch(() => []);
  return volumes.filter(({ state }) => state === 'attached').map(({ name, id }) => name || id);
}

function deletionNodes(
  { caches }: Tools,
  cluster: StorageCluster,
  plan: Plan | undefined,
): DeletionNode[] {
  const skipped = (cluster.metadata.annotations?.[annotationKeys.skipWipe] ?? '')
    .split(',')
    .map((name) => name.trim());
  const wanted = new Set([
    ...Object.keys(plan?.nodeConfigs ?? {}).map((key) => key.replace(/\.json$/, '')),
    // Decommissioned, yet its identity and its empty pools may still be there.
    ...(plan?.leavers ?? []).map(({ node }) => node),
    ...caches.storageNodes.all().map(({ metadata }) => metadata.name),
  ]);
  return [...wanted].sort().map((name) => {
    const node = caches.nodes.get({ name });
    const presence = node === undefined ? 'gone' : isNodeReady(node) ? 'ready' : 'silent';
    return { name, presence, skipped: skipped.includes(name) };
  });
}

async function remove({ context }: Tools, { resource, object }: Found): Promise<void> {
  if (object.metadata.deletionTimestamp !== undefined) return;
  const { uid } = object.metadata;
  await context.kube.delete(resource, object.metadata, {
    propagation: 'Background',
    ...(uid === undefined ? {} : { uid }),
  });
}

/** The sidecars' leader election leaves its Leases behind; their names are the programs' own. */
async function removeLeases({ context }: Tools): Promise<void> {
  const { namespace } = context;
  const leases = await context.kube.list<KubeObject>(resources.lease, { namespace });
  const driver = driverName.replaceAll('.', '-');
  const ours = leases.filter(({ metadata: { name } }) =>
    [
      driver,
      `external-attacher-leader-${driver}`,
      `external-resizer-${driver}`,
      `external-snapshotter-leader-${driver}`,
      'snapshot-controller-leader',
    ].includes(name),
  );
  for (const { metadata } of ours) await context.kube.delete(resources.lease, metadata);
}

async function release({ context }: Tools, cluster: StorageCluster): Promise<void> {
  const { name, namespace, resourceVersion } = cluster.metadata;
  const finalizers = (cluster.metadata.finalizers ?? []).filter((one) => one !== finalizer);
  await context.kube.patch(
    resources.storageCluster,
    { name, ...(namespace === undefined ? {} : { namespace }) },
    { metadata: { finalizers, resourceVersion } },
  );
}
