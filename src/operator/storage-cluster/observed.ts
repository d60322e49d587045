import type { StorageCluster, StorageClusterSpec } from '../../crds/storage-cluster.js';
import type { WipeRequests } from './forgotten-nodes.js';
import type { KvdbMember } from './kvdb-members.js';
import type { KubeNode, Manifest, Secret } from './kubernetes-types.js';

/** Everything that the decisions rest on, as it was read for one pass. */
export interface Observed {
  readonly cluster: StorageCluster;
  /** With its defaults, and the runtime options of the misc-args annotation. */
  readonly spec: StorageClusterSpec;
  readonly nodes: readonly KubeNode[];
  /** The nodes that a person wants wiped, and whether px has let go of them. */
  readonly wipe: WipeRequests;
  /** The identity of the Kubernetes cluster: the uid of its namespace kube-system. */
  readonly kubernetesUid: string;
  /** Who was chosen for the internal key-value store, if anybody was. */
  readonly kvdbMembers: readonly KvdbMember[];
  /** One of them came later than the store was founded. */
  readonly kvdbReplaced: boolean;
  /** kvdb.authSecret, if the spec names one and it is there. */
  readonly kvdbSecret: Secret | undefined;
  readonly snapshotApi: boolean;
  /** The cluster address of the Service px-api, once it has one. */
  readonly apiClusterIp: string | undefined;
  readonly defaultImage: string;
}

/** What stands in the way of running at all, found before anything is made. */
export interface PreflightInput {
  readonly observed: Observed;
  /** The CSIDriver of our name, if there is one. */
  readonly csiDriver: Manifest | undefined;
  /** Labels of the namespace: Pod Security may forbid privileged pods. */
  readonly namespaceLabels: Readonly<Record<string, string>>;
  readonly secretsThere: (name: string) => boolean;
}
