import { createHash } from 'node:crypto';
import { isKvdbInternal, type StorageClusterSpec } from '../../crds/storage-cluster.js';
import { nodeLabels } from '../names.js';
import { clusterIdOf } from './cluster-id.js';
import { imagesOf } from './images.js';
import type { KubeNode, Secret } from './kubernetes-types.js';
import { annotationKeys, names } from './names.js';
import { nodeConfig, type KvdbPlan } from './node-config.js';
import { mayRun, placementOf } from './node-selection.js';
import type { Observed } from './observed.js';
import type { Leaver, Plan, PlannedVolume } from './plan.js';

/** Undefined while the members of the internal key-value store are not chosen. */
export function buildPlan(observed: Observed): Plan | undefined {
  const { cluster, spec } = observed;
  const { name, namespace = 'default', uid = '' } = cluster.metadata;
  const kvdb = kvdbPlan(observed);
  if (kvdb === undefined) return undefined;
  const clusterId = clusterIdOf(cluster, observed.kubernetesUid);
  const placement = placementOf(spec.placement);
  return {
    cluster: { name, namespace, uid },
    clusterId,
    images: imagesOf(spec, observed.defaultImage),
    imagePullPolicy: spec.imagePullPolicy,
    imagePullSecret: spec.imagePullSecret,
    placement,
    startPort: spec.startPort,
    env: spec.env ?? [],
    volumes: (spec.volumes ?? []).flatMap(plannedVolume),
    resources: spec.resources ?? {},
    priorityClassName: spec.priorityClassName,
    revisionHistoryLimit: spec.revisionHistoryLimit,
    minReadySeconds: spec.updateStrategy.rollingUpdate.minReadySeconds,
    csi: { enabled: spec.csi.enabled, snapshotController: spec.csi.installSnapshotController },
    exportMetrics: exportsMetrics(spec),
    kvdbSecret: plannedSecret(spec, observed.kvdbSecret),
    nodeConfigs: Object.fromEntries(
      eligibleNodes(observed).map((node) => [
        `${node.metadata.name}.json`,
        nodeConfig(spec, clusterId, kvdb, node),
      ]),
    ),
    leavers: leaversOf(observed, (node) => nodeConfig(spec, clusterId, kvdb, node)),
    defaultStorageClasses:
      cluster.metadata.annotations?.[annotationKeys.disableStorageClass] !== 'true',
    apiAddress: apiAddress(observed),
    api: { snapshots: observed.snapshotApi },
  };
}

/** The nodes that may run px, by name. */
export function eligibleNodes({ spec, nodes }: Pick<Observed, 'spec' | 'nodes'>): KubeNode[] {
  const placement = placementOf(spec.placement);
  return nodes
    .filter((node) => mayRun(node, placement))
    .sort((a, b) => (a.metadata.name < b.metadata.name ? -1 : 1));
}

/** Those whose label alone keeps px away: what px left running there must end. */
function leaversOf(
  { spec, nodes, wipe }: Observed,
  config: (node: KubeNode) => string,
): readonly Leaver[] {
  const placement = placementOf(spec.placement);
  return nodes.flatMap((node) => {
    const { [nodeLabels.decommissioned]: mark, ...labels } = node.metadata.labels ?? {};
    const unmarked = { ...node, metadata: { ...node.metadata, labels } };
    if (mark === undefined || !mayRun(unmarked, placement)) return [];
    return [
      {
        node: node.metadata.name,
        config: config(node),
        wipe: wipe.forgotten.has(node.metadata.name),
      },
    ];
  });
}

function kvdbPlan({ spec, kvdbMembers, kvdbReplaced, kvdbSecret }: Observed): KvdbPlan | undefined {
  if (!isKvdbInternal(spec)) {
    return {
      kind: 'external',
      endpoints: spec.kvdb?.endpoints ?? [],
      secretKeys: Object.keys(kvdbSecret?.data ?? {}),
    };
  }
  if (kvdbMembers.length === 0) return undefined;
  return { kind: 'internal', members: kvdbMembers, replaced: kvdbReplaced };
}

function plannedSecret(spec: StorageClusterSpec, secret: Secret | undefined): Plan['kvdbSecret'] {
  const name = spec.kvdb?.authSecret;
  if (isKvdbInternal(spec) || name === undefined || secret === undefined) return undefined;
  const entries = Object.entries(secret.data ?? {}).sort(([a], [b]) => (a < b ? -1 : 1));
  return { name, hash: createHash('sha256').update(JSON.stringify(entries)).digest('hex') };
}

function plannedVolume(
  volume: NonNullable<StorageClusterSpec['volumes']>[number],
): PlannedVolume[] {
  const { name, mountPath, mountPropagation, readOnly, ...source } = volume;
  if (mountPath === undefined) return [];
  // Its own prefix: a name of ours must not be taken.
  const mount = {
    name: `user-${name}`,
    mountPath,
    ...(readOnly === undefined ? {} : { readOnly }),
    ...(mountPropagation === undefined ? {} : { mountPropagation }),
  };
  return [{ mount, source }];
}

function exportsMetrics({ monitoring }: StorageClusterSpec): boolean {
  return monitoring?.prometheus?.exportMetrics ?? monitoring?.enableMetrics ?? false;
}

function apiAddress({ apiClusterIp, cluster, spec }: Observed): string {
  const { namespace = 'default' } = cluster.metadata;
  const host = apiClusterIp ?? `${names.api}.${namespace}.svc`;
  return `${host.includes(':') ? `[${host}]` : host}:${spec.startPort + 1}`;
}
