import { resources } from '../../crds/resources.js';
import type { StorageCluster } from '../../crds/storage-cluster.js';
import { activeCluster } from '../active-cluster.js';
import { conditionBoard } from '../condition-board.js';
import type { Controller, ReconcileResult, SetUpController } from '../ports.js';
import { Applier } from './apply.js';
import { CurrentEvents } from './current-events.js';
import { annotationKeys, finalizer } from './names.js';
import { findLive, openCaches } from './observe.js';
import type { Tools } from './tools.js';
import { runCluster } from './run-cluster.js';
import { source } from './status.js';
import { StatusWriter } from './status-writer.js';
import { uninstallCluster } from './uninstall-cluster.js';

/** Bursts of changes (a roll-out, a start) are one pass. */
const gatherMs = 200;

/** Makes the cluster's objects what its StorageCluster says, and its status what is. */
export const setUpStorageCluster: SetUpController = (context, enqueue): Controller => {
  const caches = openCaches(context);
  const board = conditionBoard(context);
  const tools: Tools = {
    context,
    caches,
    board,
    applier: new Applier(context.kube, (resource, name) => findLive(caches, resource, name)),
    status: new StatusWriter(context, board),
    events: new CurrentEvents(context.events),
  };
  const wake = (): void => {
    for (const { metadata } of caches.clusters.all()) enqueue(keyOf(metadata), gatherMs);
  };
  // A deleted one may leave the place to another.
  caches.clusters.onChange(({ metadata }) => {
    enqueue(keyOf(metadata));
    wake();
  });
  const watched = [
    caches.storageNodes,
    caches.nodes,
    caches.pods,
    caches.jobs,
    caches.definitions,
    ...caches.owned.map(({ cache }) => cache),
  ];
  for (const cache of watched) cache.onChange(wake);
  // Volumes come and go all the time; only a deletion waits for them.
  const wakeLeaving = (): void => {
    for (const { metadata } of caches.clusters.all()) {
      if (metadata.deletionTimestamp !== undefined) enqueue(keyOf(metadata), gatherMs);
    }
  };
  caches.attachments.onChange(wakeLeaving);
  caches.volumes.onChange(wakeLeaving);
  board.onChange(wake);
  return { name: 'storage-cluster', reconcile: (key) => reconcile(tools, key) };
};

async function reconcile(tools: Tools, key: string): Promise<ReconcileResult> {
  const { caches, context, status } = tools;
  const [namespace = '', name = ''] = key.split('/');
  const cluster = caches.clusters.get({ namespace, name });
  if (cluster === undefined) return undefined;
  const misplaced = misplacement(tools, cluster);
  if (misplaced !== undefined) {
    await status.write(cluster, {
      phase: 'Unknown',
      reason: misplaced,
      conditions: [
        { source, type: 'Preflight', status: 'False', reason: 'NotInCharge', message: misplaced },
      ],
    });
    return undefined;
  }
  if (cluster.metadata.deletionTimestamp !== undefined) {
    return hasFinalizer(cluster) ? uninstallCluster(tools, cluster) : undefined;
  }
  if (cluster.metadata.annotations?.[annotationKeys.reconcile] === 'false') {
    await status.addCondition(cluster, paused);
    return undefined;
  }
  if (!hasFinalizer(cluster)) {
    await context.kube.patch(
      resources.storageCluster,
      { namespace, name },
      {
        metadata: {
          finalizers: [...(cluster.metadata.finalizers ?? []), finalizer],
          resourceVersion: cluster.metadata.resourceVersion,
        },
      },
    );
  }
  return runCluster(tools, cluster);
}

const paused = {
  source,
  type: 'Paused',
  status: 'True',
  reason: 'Annotation',
  message: `nothing is reconciled while the annotation ${annotationKeys.reconcile} is "false"`,
} as const;

/** Why this StorageCluster is left alone. */
function misplacement({ caches, context }: Tools, cluster: StorageCluster): string | undefined {
  const { namespace = '', name, uid } = cluster.metadata;
  const active = activeCluster(caches.clusters);
  if (active !== undefined && active.metadata.uid !== uid) {
    return (
      `a Kubernetes cluster has one StorageCluster: ${keyOf(active.metadata)} is older, ` +
      'so this one is left alone'
    );
  }
  if (namespace === context.namespace) return undefined;
  return (
    `the operator serves the namespace ${context.namespace}: apply ${name} there, ` +
    `or install the operator in ${namespace}`
  );
}

function hasFinalizer({ metadata }: StorageCluster): boolean {
  return (metadata.finalizers ?? []).includes(finalizer);
}

function keyOf(metadata: { readonly namespace?: string; readonly name: string }): string {
  return `${metadata.namespace ?? ''}/${metadata.name}`;
}
