import type { StorageClusterSpec } from '../../crds/storage-cluster.js';
import { geographyOf } from './geography.js';
import { internalAddress, type KvdbMember } from './kvdb-members.js';
import type { KubeNode } from './kubernetes-types.js';
import { paths } from './names.js';
import { nodeSettings } from './node-overrides.js';
import { runtimeOptions } from './runtime-options.js';

/** Where px-node finds its key-value store. */
export type KvdbPlan =
  | {
      readonly kind: 'internal';
      readonly members: readonly KvdbMember[];
      readonly replaced: boolean;
    }
  | {
      readonly kind: 'external';
      readonly endpoints: readonly string[];
      /** Keys of the Secret that is mounted at `paths.kvdbSecretDir`. */
      readonly secretKeys: readonly string[];
    };

/** Keys of kvdb.authSecret as users of this field name them, and px-node's field for each. */
const secretFiles: Readonly<Record<string, string>> = {
  username: 'kvdbUsernameFile',
  password: 'kvdbPasswordFile',
  'kvdb-ca.crt': 'kvdbCaFile',
  'kvdb.crt': 'kvdbCertFile',
  'kvdb.key': 'kvdbKeyFile',
};

/** px-node's whole configuration for one node, as the bytes of its file. */
export function nodeConfig(
  spec: StorageClusterSpec,
  clusterId: string,
  kvdb: KvdbPlan,
  node: KubeNode,
): string {
  const settings = nodeSettings(spec, node);
  const { storage, network } = settings;
  const address = internalAddress(node);
  const config = {
    clusterid: clusterId,
    name: node.metadata.name,
    ...kvdbFields(kvdb),
    storage: storageFields(storage, settings.ownDevices),
    ...geography(settings.ownEnv, node),
    labels: stableLabels(node.metadata.labels ?? {}),
    startPort: spec.startPort,
    ...(network.mgmtInterface === undefined
      ? address === undefined
        ? {}
        : // The pod's own address, at which the Service px-api and the other members look for it.
          { addresses: { mgmt: address } }
      : { mgtiface: network.mgmtInterface }),
    ...(network.dataInterface === undefined ? {} : { dataiface: network.dataInterface }),
    ...runtimeOptions(settings.runtimeOptions).config,
  };
  return `${JSON.stringify(config, null, 2)}\n`;
}

function kvdbFields(kvdb: KvdbPlan): Readonly<Record<string, unknown>> {
  if (kvdb.kind === 'internal') {
    const kvdbMembers = kvdb.members.map(({ address }) => address);
    return { kvdb: 'internal', kvdbMembers, ...(kvdb.replaced ? { kvdbExists: true } : {}) };
  }
  const files = kvdb.secretKeys
    .filter((key) => secretFiles[key] !== undefined)
    .sort()
    .map((key) => [secretFiles[key], `${paths.kvdbSecretDir}/${key}`]);
  return {
    kvdb: kvdb.endpoints,
    ...(Object.fromEntries(files) as Record<string, string>),
  };
}

/** `own`: the devices are this node's, and not those that any node may have or lack. */
function storageFields(storage: NonNullable<StorageClusterSpec['storage']>, own: boolean) {
  const devices = storage.devices ?? [];
  const named = devices.length > 0;
  const anything = storage.useAll ?? storage.useAllWithPartitions;
  return {
    devices,
    ...(named && !own ? { devicesOptional: true } : {}),
    // Named devices win; without a word about devices every free one is taken.
    useAll: !named && (anything ?? true),
    force: storage.forceUseDisks ?? false,
  };
}

/** PWX_ZONE and its siblings beat the labels, as they do on the container. */
function geography(
  env: readonly { readonly name: string; readonly value?: string | undefined }[],
  node: KubeNode,
) {
  const labels = geographyOf(node.metadata.labels ?? {});
  const own = (name: string): string | undefined => env.find((one) => one.name === name)?.value;
  return {
    zone: own('PWX_ZONE') ?? labels.zone,
    region: own('PWX_REGION') ?? labels.region,
    rack: own('PWX_RACK') ?? labels.rack,
  };
}

/** Labels that programs write and rewrite: each change would roll px over the node. */
const volatilePrefixes = [
  'beta.kubernetes.io/',
  'feature.node.kubernetes.io/',
  'nvidia.com/',
  'px.io/',
  'px/enabled',
  // The kubelet writes them when the CSI driver registers, from what px-node says.
  'topology.pxd.portworx.com/',
];

/** Labels that placement rules may name. */
function stableLabels(labels: Readonly<Record<string, string>>): Readonly<Record<string, string>> {
  const entries = Object.entries(labels)
    .filter(([key]) => !volatilePrefixes.some((prefix) => key.startsWith(prefix)))
    .sort(([a], [b]) => (a < b ? -1 : 1));
  return Object.fromEntries(entries);
}
