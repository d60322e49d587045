import type { EnvVar, NodeAffinity, Toleration } from '../../crds/kubernetes-types.js';
import type { Images } from './images.js';
import type { Manifest } from './kubernetes-types.js';
import { objectLabels, type ComponentName } from './names.js';

/**
 * Everything that the components need, decided: the spec with its defaults,
 * what the API server can do, and what was chosen before.
 */
export interface Plan {
  readonly cluster: { readonly name: string; readonly namespace: string; readonly uid: string };
  /** The `clusterid` of every px-node. */
  readonly clusterId: string;
  readonly images: Images;
  readonly imagePullPolicy: 'Always' | 'IfNotPresent' | 'Never';
  readonly imagePullSecret: string | undefined;
  readonly placement: {
    readonly nodeAffinity: NodeAffinity;
    readonly tolerations: readonly Toleration[];
  };
  readonly startPort: number;
  readonly env: readonly EnvVar[];
  readonly volumes: readonly PlannedVolume[];
  readonly resources: PlannedResources;
  readonly priorityClassName: string | undefined;
  readonly revisionHistoryLimit: number;
  readonly minReadySeconds: number;
  readonly csi: { readonly enabled: boolean; readonly snapshotController: boolean };
  readonly exportMetrics: boolean;
  /** The Secret with what the external key-value store asks for. */
  readonly kvdbSecret: { readonly name: string; readonly hash: string } | undefined;
  /** `<node name>.json` of every node that may run px. */
  readonly nodeConfigs: Readonly<Record<string, string>>;
  readonly leavers: readonly Leaver[];
  readonly defaultStorageClasses: boolean;
  /** host:port of the Service px-api: its address, as a cluster need not have a DNS. */
  readonly apiAddress: string;
  readonly api: ApiFeatures;
}

/** A node that was decommissioned, and that px would run on but for that. */
export interface Leaver {
  readonly node: string;
  /** What ends there must know where it was. */
  readonly config: string;
  /** A person asks for the removal of all that is left there, and px has let go of it. */
  readonly wipe: boolean;
}

export interface PlannedVolume {
  readonly mount: {
    readonly name: string;
    readonly mountPath: string;
    readonly readOnly?: boolean;
    readonly mountPropagation?: string;
  };
  readonly source: Readonly<Record<string, unknown>>;
}

export interface PlannedResources {
  readonly requests?: Readonly<Record<string, string | number>>;
  readonly limits?: Readonly<Record<string, string | number>>;
}

/** What this API server serves beyond what every supported version has. */
export interface ApiFeatures {
  /** The custom resources of snapshot.storage.k8s.io/v1. */
  readonly snapshots: boolean;
}

/** The metadata of a namespaced object: it goes when its StorageCluster goes. */
export function ownedMeta(plan: Plan, name: string, component: ComponentName) {
  return {
    name,
    namespace: plan.cluster.namespace,
    labels: objectLabels(plan.cluster.name, component),
    ownerReferences: [ownerReference(plan.cluster)],
  };
}

/** No namespaced owner is allowed for a cluster-scoped object: the finalizer removes these. */
export function clusterMeta(plan: Plan, name: string, component: ComponentName) {
  return { name, labels: objectLabels(plan.cluster.name, component) };
}

export function ownerReference(cluster: Plan['cluster']) {
  return {
    apiVersion: 'core.libopenstorage.org/v1',
    kind: 'StorageCluster',
    name: cluster.name,
    uid: cluster.uid,
    controller: true,
    blockOwnerDeletion: true,
  };
}

/** Fields of a pod that every component takes from the StorageCluster. */
export function commonPodFields(plan: Plan): Readonly<Record<string, unknown>> {
  return {
    ...(plan.imagePullSecret === undefined
      ? {}
      : { imagePullSecrets: [{ name: plan.imagePullSecret }] }),
    ...(plan.priorityClassName === undefined ? {} : { priorityClassName: plan.priorityClassName }),
  };
}

export type Component = (plan: Plan) => readonly Manifest[];
