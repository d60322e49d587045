import { resources } from '../../crds/resources.js';
import type { Resource } from '../ports.js';

/** Kinds that the operator makes and prunes; of no other kind is anything ever deleted. */
export const ownedKinds: readonly Resource[] = [
  resources.configMap,
  resources.serviceAccount,
  resources.service,
  resources.role,
  resources.roleBinding,
  resources.clusterRole,
  resources.clusterRoleBinding,
  resources.podDisruptionBudget,
  resources.csiDriver,
  resources.daemonSet,
  resources.deployment,
  resources.storageClass,
];

/** Served only where somebody has installed it, so it is asked for, not watched. */
export const optionalKinds: readonly Resource[] = [resources.volumeSnapshotClass];

const byKind = new Map(
  [...ownedKinds, ...optionalKinds, resources.job].map((resource) => [
    `${resource.apiVersion}/${resource.kind}`,
    resource,
  ]),
);

export function resourceOf(object: {
  readonly apiVersion: string;
  readonly kind: string;
}): Resource {
  const resource = byKind.get(`${object.apiVersion}/${object.kind}`);
  if (resource === undefined) throw new Error(`${object.apiVersion} ${object.kind} is not owned`);
  return resource;
}

/**
 * Made once and then the person's: their parameters can't be changed, and what
 * can be (the default class, say) is the person's choice.
 */
export function isMadeOnce(kind: string): boolean {
  return kind === 'StorageClass' || kind === 'VolumeSnapshotClass';
}
