import type { StorageCluster } from '../../crds/storage-cluster.js';
import type { StorageNode } from '../../crds/storage-node.js';
import { resources } from '../../crds/resources.js';
import { PxError } from '../../kernel/errors.js';
import type { KubeCache, KubeObject, ObjectName, OperatorContext, Resource } from '../ports.js';
import type { VolumeAttachment } from '../workloads.js';
import type {
  ConfigMap,
  DaemonSet,
  Deployment,
  Job,
  KubeNode,
  Manifest,
  PersistentVolume,
  Pod,
} from './kubernetes-types.js';
import { labelKeys } from './names.js';
import { optionalKinds, ownedKinds } from './owned-kinds.js';
import type { Found } from './prune.js';

/** The watches that the StorageCluster's controller reads. */
export interface Caches {
  readonly clusters: KubeCache<StorageCluster>;
  readonly storageNodes: KubeCache<StorageNode>;
  readonly nodes: KubeCache<KubeNode>;
  readonly pods: KubeCache<Pod>;
  readonly jobs: KubeCache<Job>;
  readonly attachments: KubeCache<VolumeAttachment>;
  readonly volumes: KubeCache<PersistentVolume>;
  readonly definitions: KubeCache<Definition>;
  readonly owned: readonly { readonly resource: Resource; readonly cache: KubeCache<KubeObject> }[];
}

const made = `${labelKeys.managedBy}=px-operator`;

export function openCaches(context: OperatorContext): Caches {
  const { namespace } = context;
  return {
    clusters: context.cache<StorageCluster>(resources.storageCluster),
    storageNodes: context.cache<StorageNode>(resources.storageNode, { namespace }),
    nodes: context.cache<KubeNode>(resources.node),
    pods: context.cache<Pod>(resources.pod, { namespace }),
    jobs: context.cache<Job>(resources.job, { namespace, labelSelector: made }),
    attachments: context.cache<VolumeAttachment>(resources.volumeAttachment),
    volumes: context.cache<PersistentVolume>(resources.persistentVolume),
    definitions: context.cache<Definition>(resources.customResourceDefinition),
    owned: ownedKinds.map((resource) => ({
      resource,
      cache: context.cache<KubeObject>(resource, {
        labelSelector: made,
        ...(resource.namespaced ? { namespace } : {}),
      }),
    })),
  };
}

/** The watches are of all kinds; which kind an object has, its resource says. */
export function findLive<T extends KubeObject = KubeObject>(
  caches: Caches,
  resource: Resource,
  name: ObjectName,
): T | undefined {
  const { cache } = caches.owned.find(({ resource: { kind } }) => kind === resource.kind) ?? {};
  const found = cache?.get(resource.namespaced ? name : { name: name.name });
  return found as T | undefined;
}

/** Everything with our labels, from the watches and, for what has none, from the API server. */
export async function findOwned(context: OperatorContext, caches: Caches): Promise<Found[]> {
  const watched = caches.owned.flatMap(({ resource, cache }) =>
    cache.all().map((object) => ({ resource, object })),
  );
  const jobs = caches.jobs.all().map((object) => ({ resource: resources.job, object }));
  const unwatched: Found[] = [];
  if (servesSnapshots(caches)) {
    for (const resource of optionalKinds) {
      const objects = await context.kube.list<KubeObject>(resource, { labelSelector: made });
      unwatched.push(...objects.map((object) => ({ resource, object })));
    }
  }
  return [...watched, ...jobs, ...unwatched];
}

/** Only the form that current snapshot controllers speak counts. */
export function servesSnapshots(caches: Caches): boolean {
  const names = ['volumesnapshots', 'volumesnapshotcontents', 'volumesnapshotclasses'];
  return names.every((plural) => {
    const definition = caches.definitions.get({ name: `${plural}.snapshot.storage.k8s.io` });
    const versions = definition?.spec?.versions ?? [];
    return versions.some(({ name, served }) => name === 'v1' && served !== false);
  });
}

interface Definition extends KubeObject {
  readonly spec?: {
    readonly versions?: readonly { readonly name: string; readonly served?: boolean }[];
  };
}

export interface ServiceObject extends KubeObject {
  readonly spec?: { readonly clusterIP?: string };
}

export function daemonSetOf(caches: Caches, name: ObjectName): DaemonSet | undefined {
  return findLive(caches, resources.daemonSet, name);
}

export function deploymentOf(caches: Caches, name: ObjectName): Deployment | undefined {
  return findLive(caches, resources.deployment, name);
}

/** The driver's object may be another installation's, so its labels don't matter here. */
export function readCsiDriver(context: OperatorContext, name: string) {
  return context.kube.get<Manifest>(resources.csiDriver, { name });
}

export async function readKubernetesUid(context: OperatorContext): Promise<string> {
  const found = await context.kube.get(resources.namespace, { name: 'kube-system' });
  const uid = found?.metadata.uid;
  if (uid === undefined) {
    throw new PxError(
      'unavailable',
      'the namespace kube-system, which identifies the Kubernetes cluster, cannot be read',
    );
  }
  return uid;
}

export function readConfigMap(context: OperatorContext, name: ObjectName) {
  return context.kube.get<ConfigMap>(resources.configMap, name);
}
