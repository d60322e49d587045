import { z } from 'zod';

/** What a StorageCluster says about devices, volumes of a cloud, and the key-value store. */
/** May be empty, which means the same as absent: manifests in use have such fields. */
const devicePath = z.string().max(512);

const onlyDevices = {
  rule: "!has(self.devices) || self.devices.all(d, d.startsWith('/'))",
  message: 'devices must be absolute paths, such as /dev/sdb',
};

export const storage = z
  .object({
    useAll: z
      .boolean()
      .optional()
      .describe('Every device without a partition or a signature. True when nothing else is said.'),
    useAllWithPartitions: z
      .boolean()
      .optional()
      .describe('As `useAll`, and partitions without a signature.'),
    forceUseDisks: z
      .boolean()
      .optional()
      .describe('Formats devices that carry a foreign signature: their content is lost.'),
    devices: z
      .array(devicePath)
      .max(64)
      .optional()
      .describe('The devices; beats `useAll`.')
      .meta({ 'x-kubernetes-list-type': 'atomic' }),
    cacheDevices: z.array(devicePath).max(64).optional().describe('Devices for a cache.'),
    journalDevice: devicePath.optional().describe('A device for the journal, or `auto`.'),
    systemMetadataDevice: devicePath.optional().describe('A device for metadata.'),
    kvdbDevice: devicePath.optional().describe('A device for the internal key-value store.'),
  })
  .meta({ 'x-kubernetes-validations': [onlyDevices] });

const deviceSpec = z.string().max(512);

const cloudDevices = {
  deviceSpecs: z
    .array(deviceSpec)
    .max(64)
    .optional()
    .describe('Volumes of the cloud for each node, such as `type=gp3,size=100`.'),
  journalDeviceSpec: deviceSpec.optional().describe('One for the journal.'),
  systemMetadataDeviceSpec: deviceSpec.optional().describe('One for metadata.'),
  kvdbDeviceSpec: deviceSpec.optional().describe('One for the key-value store.'),
  maxStorageNodesPerZonePerNodeGroup: z.int().min(0).optional(),
};

export const cloudStorage = z.object({
  ...cloudDevices,
  provider: z.string().max(64).optional().describe('The cloud.'),
  capacitySpecs: z
    .array(
      z.object({
        minIOPS: z.int().min(0).optional(),
        minCapacityInGiB: z.int().min(0).optional(),
        maxCapacityInGiB: z.int().min(0).optional(),
        options: z.record(z.string(), z.string()).optional(),
      }),
    )
    .max(64)
    .optional()
    .describe('Capacity from which volumes of the cloud are chosen.'),
  maxStorageNodes: z.int().min(0).optional().describe('At most so many nodes have storage.'),
  maxStorageNodesPerZone: z.int().min(0).optional().describe('The same a zone.'),
  nodePoolLabel: z.string().max(316).optional(),
});

/** What a group of nodes may say otherwise. */
export const cloudStorageOfNodes = z.object(cloudDevices);

const endpointForm = {
  rule: "!has(self.endpoints) || self.endpoints.all(e, e.matches('^((etcd3?:)?https?://|etcd3?://)[^/@ ,]+/?$'))",
  message:
    'endpoints must be etcd:http://host:port or etcd:https://host:port; users and passwords belong into authSecret',
};

const oneScheme = {
  rule: "!has(self.endpoints) || !self.endpoints.exists(e, e.contains('https://')) || self.endpoints.all(e, e.contains('https://'))",
  message: 'endpoints must be all http or all https',
};

const internalOrExternal = {
  rule: '!has(self.internal) || !self.internal || !has(self.endpoints) || size(self.endpoints) == 0',
  message: 'endpoints belong to an external key-value store: remove them or set internal to false',
};

const externalHasEndpoints = {
  rule: '!has(self.internal) || self.internal || (has(self.endpoints) && size(self.endpoints) > 0)',
  message: 'internal is false, so endpoints must name the external key-value store',
};

const sameKind = {
  rule: '((!has(self.internal) || self.internal) && (!has(self.endpoints) || size(self.endpoints) == 0)) == ((!has(oldSelf.internal) || oldSelf.internal) && (!has(oldSelf.endpoints) || size(oldSelf.endpoints) == 0))',
  message:
    'kvdb cannot change between internal and external: the records of all volumes would stay behind',
};

export const kvdb = z
  .object({
    internal: z
      .boolean()
      .optional()
      .describe('The cluster runs its own, on three nodes. True when there are no endpoints.'),
    endpoints: z
      .array(z.string().min(1).max(512))
      .max(16)
      .optional()
      .describe('An etcd to use instead: `etcd:https://host:2379`.')
      .meta({ 'x-kubernetes-list-type': 'atomic' }),
    authSecret: z
      .string()
      .max(253)
      .optional()
      .describe(
        'A Secret in the namespace of the StorageCluster with what etcd wants to see: `username`, `password`, `kvdb-ca.crt`, `kvdb.crt`, `kvdb.key`.',
      ),
  })
  .meta({
    'x-kubernetes-validations': [
      endpointForm,
      oneScheme,
      internalOrExternal,
      externalHasEndpoints,
      sameKind,
    ],
  });
