import { resources } from '../crds/resources.js';
import type { StorageCluster } from '../crds/storage-cluster.js';
import type { KubeNode } from './failover/fenced-node.js';
import { nodeLabels } from './names.js';
import type { KubeCache, KubeObject, OperatorContext } from './ports.js';
import { pxView } from './px-view.js';
import type { DaemonPod } from './rollout/observe-pods.js';
import { labelKeys, names } from './storage-cluster/names.js';

interface ConfigMap extends KubeObject {
  readonly data?: Readonly<Record<string, string>>;
}

/** The watches of the controllers that look at every node of the cluster. */
export interface NodeCaches {
  readonly clusters: KubeCache<StorageCluster>;
  readonly nodes: KubeCache<KubeNode>;
  /** Of px-node. */
  readonly pods: KubeCache<DaemonPod>;
  readonly configs: KubeCache<ConfigMap>;
}

/**
 * `wake` runs when anything changes that concerns every node. Node objects are
 * left to each controller: their kubelets write them all the time.
 */
export function openNodeCaches(context: OperatorContext, wake: () => void): NodeCaches {
  const { namespace } = context;
  const caches: NodeCaches = {
    clusters: context.cache(resources.storageCluster),
    nodes: context.cache(resources.node),
    pods: context.cache(resources.pod, {
      namespace,
      labelSelector: `${labelKeys.name}=px,${labelKeys.component}=node`,
    }),
    configs: context.cache(resources.configMap, { namespace }),
  };
  caches.clusters.onChange(wake);
  caches.pods.onChange(wake);
  caches.configs.onChange(({ metadata }) => {
    if (metadata.name === names.config) wake();
  });
  pxView(context).onNodesChange(wake);
  return caches;
}

/** The configurations by node, as the ConfigMap has them. */
export function nodeConfigs(
  { configs }: NodeCaches,
  namespace: string,
): ReadonlyMap<string, string> {
  const data = configs.get({ namespace, name: names.config })?.data ?? {};
  return new Map(Object.entries(data).map(([key, text]) => [key.replace(/\.json$/, ''), text]));
}

/** The nodes that px is to run on: they have a configuration, and were not decommissioned. */
export function wantedNodes(caches: NodeCaches, namespace: string): readonly string[] {
  const configs = nodeConfigs(caches, namespace);
  return caches.nodes
    .all()
    .filter(({ metadata }) => metadata.labels?.[nodeLabels.decommissioned] === undefined)
    .map(({ metadata }) => metadata.name)
    .filter((name) => configs.has(name));
}
