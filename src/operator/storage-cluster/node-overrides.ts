import type { EnvVar } from '../../crds/kubernetes-types.js';
import type { NodeOverride, StorageClusterSpec, StorageSpec } from '../../crds/storage-cluster.js';
import type { KubeNode } from './kubernetes-types.js';
import { matchesLabels } from './node-selection.js';

/** What holds on one node: the cluster's settings, and where the node's own entry says otherwise. */
export interface NodeSettings {
  readonly storage: StorageSpec;
  /** The node's own entry names its devices. */
  readonly ownDevices: boolean;
  readonly network: NonNullable<StorageClusterSpec['network']>;
  readonly runtimeOptions: Readonly<Record<string, string>>;
  /** Of the node's own entry only: the cluster's are in the container. */
  readonly ownEnv: readonly EnvVar[];
}

/** The first entry of `nodes` that matches holds; each field that it leaves out is inherited. */
export function nodeSettings(spec: StorageClusterSpec, node: KubeNode): NodeSettings {
  const own = (spec.nodes ?? []).find((override) => appliesTo(override, node));
  return {
    storage: inheritStorage(spec.storage, own?.storage),
    ownDevices: (own?.storage?.devices ?? []).length > 0,
    network: { ...spec.network, ...defined(own?.network) },
    runtimeOptions: { ...spec.runtimeOptions, ...own?.runtimeOptions },
    ownEnv: own?.env ?? [],
  };
}

export function appliesTo({ selector }: NodeOverride, node: KubeNode): boolean {
  if (selector.nodeName !== undefined) return selector.nodeName === node.metadata.name;
  if (selector.labelSelector === undefined) return false;
  return matchesLabels(selector.labelSelector, node.metadata.labels ?? {});
}

/**
 * Which devices is one question: a node that names its devices does not also
 * inherit the cluster's `useAll`, and the other way round.
 */
function inheritStorage(
  common: StorageSpec | undefined,
  own: StorageSpec | undefined,
): StorageSpec {
  const merged = { ...common, ...defined(own) };
  const names = (storage: StorageSpec | undefined): boolean =>
    (storage?.devices ?? []).length > 0 ||
    storage?.useAll === true ||
    storage?.useAllWithPartitions === true;
  if (!names(own)) return merged;
  return {
    ...merged,
    devices: own?.devices ?? [],
    useAll: own?.useAll ?? false,
    useAllWithPartitions: own?.useAllWithPartitions ?? false,
  };
}

function defined<T extends object>(value: T | undefined): Partial<T> {
  const entries = Object.entries(value ?? {}).filter(([, field]) => field !== undefined);
  return Object.fromEntries(entries) as Partial<T>;
}
