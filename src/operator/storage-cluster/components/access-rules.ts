import type { Manifest } from '../kubernetes-types.js';
import { type ComponentName } from '../names.js';
import { clusterMeta, ownedMeta, type Plan } from '../plan.js';

export interface AccessRule {
  readonly apiGroups: readonly string[];
  readonly resources: readonly string[];
  readonly verbs: readonly string[];
}

const read = ['get', 'list', 'watch'] as const;

function rule(
  apiGroup: string,
  resources: readonly string[],
  verbs: readonly string[],
): AccessRule {
  return { apiGroups: [apiGroup], resources, verbs };
}

/** What leader election needs, in the namespace of the pod only. */
const leases = rule(
  'coordination.k8s.io',
  ['leases'],
  ['get', 'list', 'watch', 'create', 'update', 'patch', 'delete'],
);

/** What the sidecars of their current versions ask of the API server, all in one pod. */
export const csiControllerClusterRules: readonly AccessRule[] = [
  rule('', ['persistentvolumes'], [...read, 'create', 'patch', 'delete']),
  // The provisioner guards a claim that is being cloned with a finalizer.
  rule('', ['persistentvolumeclaims'], [...read, 'update']),
  rule('', ['persistentvolumeclaims/status'], ['patch']),
  rule('', ['events'], ['list', 'watch', 'create', 'update', 'patch']),
  rule('', ['nodes'], read),
  // The resizer knows from the pods whether a volume is in use.
  rule('', ['pods'], read),
  rule('storage.k8s.io', ['storageclasses', 'csinodes', 'volumeattributesclasses'], read),
  rule('storage.k8s.io', ['volumeattachments'], [...read, 'patch']),
  rule('storage.k8s.io', ['volumeattachments/status'], ['patch']),
  rule('snapshot.storage.k8s.io', ['volumesnapshotclasses'], read),
  rule('snapshot.storage.k8s.io', ['volumesnapshots'], [...read, 'update']),
  rule('snapshot.storage.k8s.io', ['volumesnapshotcontents'], [...read, 'update', 'patch']),
  rule('snapshot.storage.k8s.io', ['volumesnapshotcontents/status'], ['update', 'patch']),
];

export const csiControllerNamespaceRules: readonly AccessRule[] = [
  leases,
  rule(
    'storage.k8s.io',
    ['csistoragecapacities'],
    [...read, 'create', 'update', 'patch', 'delete'],
  ),
  // The owner of the capacity objects: from the pod over its ReplicaSet to the Deployment.
  rule('', ['pods'], ['get']),
  rule('apps', ['replicasets'], ['get']),
];

export const snapshotControllerClusterRules: readonly AccessRule[] = [
  rule('', ['persistentvolumes'], read),
  rule('', ['persistentvolumeclaims'], [...read, 'update']),
  rule('', ['events'], ['list', 'watch', 'create', 'update', 'patch']),
  rule('snapshot.storage.k8s.io', ['volumesnapshotclasses'], read),
  rule(
    'snapshot.storage.k8s.io',
    ['volumesnapshots', 'volumesnapshotcontents'],
    [...read, 'create', 'update', 'patch', 'delete'],
  ),
  rule(
    'snapshot.storage.k8s.io',
    ['volumesnapshots/status', 'volumesnapshotcontents/status'],
    ['update', 'patch'],
  ),
];

export const snapshotControllerNamespaceRules: readonly AccessRule[] = [leases];

/** A ServiceAccount with its rules: those for all namespaces and those for its own. */
export function serviceAccountWithRules(
  plan: Plan,
  component: ComponentName,
  name: string,
  clusterRules: readonly AccessRule[],
  namespaceRules: readonly AccessRule[],
): readonly Manifest[] {
  const { namespace } = plan.cluster;
  const subjects = [{ kind: 'ServiceAccount', name, namespace }];
  const apiVersion = 'rbac.authorization.k8s.io/v1';
  const roleRef = (kind: string) => ({ apiGroup: 'rbac.authorization.k8s.io', kind, name });
  return [
    { apiVersion: 'v1', kind: 'ServiceAccount', metadata: ownedMeta(plan, name, component) },
    {
      apiVersion,
      kind: 'ClusterRole',
      metadata: clusterMeta(plan, name, component),
      rules: clusterRules,
    },
    {
      apiVersion,
      kind: 'ClusterRoleBinding',
      metadata: clusterMeta(plan, name, component),
      roleRef: roleRef('ClusterRole'),
      subjects,
    },
    {
      apiVersion,
      kind: 'Role',
      metadata: ownedMeta(plan, name, component),
      rules: namespaceRules,
    },
    {
      apiVersion,
      kind: 'RoleBinding',
      metadata: ownedMeta(plan, name, component),
      roleRef: roleRef('Role'),
      subjects,
    },
  ];
}
