import { z } from 'zod';
import { PxError } from '../kernel/errors.js';
import { conditions } from './condition.js';
import type { KubeObject } from './kube-object.js';
import {
  envVars,
  intOrPercent,
  labelSelector,
  nodeAffinity,
  objectName,
  podVolume,
  resourceRequirements,
  toleration,
} from './kubernetes-types.js';
import {
  autopilot,
  monitoring,
  security,
  stork,
  userInterface,
} from './storage-cluster-components.js';
import { cloudStorage, cloudStorageOfNodes, kvdb, storage } from './storage-cluster-storage.js';
import { describeIssues } from './issues.js';

const stringMap = z.record(z.string(), z.string());

const network = z.object({
  dataInterface: z.string().max(64).optional().describe('The interface for replication.'),
  mgmtInterface: z.string().max(64).optional().describe('The interface for the API.'),
});

/** What holds for all nodes, and what `nodes` may say otherwise. */
const common = {
  storage: storage.optional().describe('The devices of each node.'),
  network: network.optional().describe('The interfaces of each node.'),
  env: envVars.optional().describe('Environment variables of the storage container.'),
  runtimeOptions: stringMap.optional().describe('Settings of the data plane by name.'),
};

const nodeSelector = z
  .object({
    nodeName: z
      .string()
      .max(253)
      .optional()
      .describe('The one node of this name; beats `labelSelector`.'),
    labelSelector: labelSelector.optional().describe('The nodes with these labels.'),
  })
  .meta({
    'x-kubernetes-validations': [
      {
        rule: "(has(self.nodeName) && self.nodeName != '') || has(self.labelSelector)",
        message: 'nodeName or labelSelector must be set',
      },
    ],
  });

const nodeOverride = z
  .object({
    selector: nodeSelector.describe('Which nodes.'),
    ...common,
    cloudStorage: cloudStorageOfNodes.optional().describe('Volumes of a cloud for these nodes.'),
  })
  .meta({
    'x-kubernetes-validations': [
      {
        rule: '!(has(self.storage) && has(self.cloudStorage))',
        message: 'storage and cloudStorage exclude each other',
      },
    ],
  });

const updateStrategy = z.object({
  type: z
    .enum(['RollingUpdate', 'OnDelete'])
    .default('RollingUpdate')
    .describe('`RollingUpdate`: node after node. `OnDelete`: when somebody deletes the pod.'),
  rollingUpdate: z
    .object({
      maxUnavailable: intOrPercent
        .default(1)
        .describe('How many nodes may be without their pod at once, as a number or a percentage.'),
      minReadySeconds: z
        .int()
        .min(0)
        .max(3600)
        .default(0)
        .describe('How long a new pod must have been ready before the next node.'),
      disruption: z
        .object({ allow: z.boolean().optional() })
        .optional()
        .describe('Whether an update may interrupt volumes.'),
    })
    .prefault({})
    .describe('How a rolling update goes.'),
});

const storageXorCloud = {
  rule: '!(has(self.storage) && has(self.cloudStorage))',
  message: 'storage and cloudStorage exclude each other: set one of them',
};

const kvdbStays = {
  rule: 'has(self.kvdb) || !has(oldSelf.kvdb) || !has(oldSelf.kvdb.endpoints) || size(oldSelf.kvdb.endpoints) == 0',
  message:
    'kvdb cannot be removed: without endpoints the cluster would change to the internal store, and the records of all volumes would stay behind',
};

const kvdbNotAdded = {
  rule: 'has(oldSelf.kvdb) || !has(self.kvdb) || !has(self.kvdb.endpoints) || size(self.kvdb.endpoints) == 0',
  message:
    'kvdb cannot change from internal to external: the records of all volumes would stay behind',
};

export const storageClusterSpec = z
  .object({
    image: z
      .string()
      .max(512)
      .optional()
      .describe("The image of the data plane and the driver. The operator's own when unset."),
    version: z
      .string()
      .max(128)
      .optional()
      .describe('The tag of the image, for an `image` that has none.'),
    imagePullPolicy: z
      .enum(['Always', 'IfNotPresent', 'Never'])
      .default('IfNotPresent')
      .describe('When kubelets pull images.'),
    imagePullSecret: objectName
      .optional()
      .describe('A Secret in the namespace of the StorageCluster for pulling images.'),
    customImageRegistry: z
      .string()
      .max(512)
      .optional()
      .describe('A registry, maybe with a path, that replaces the one of every image.'),
    preserveFullCustomImageRegistry: z
      .boolean()
      .optional()
      .describe('Keeps the path of an image behind `customImageRegistry`.'),
    kvdb: kvdb.optional().describe('The key-value store, etcd.'),
    ...common,
    cloudStorage: cloudStorage.optional().describe('Volumes of a cloud instead of devices.'),
    secretsProvider: z
      .string()
      .max(64)
      .default('k8s')
      .describe('Where keys of encrypted volumes are: `k8s`, in Secrets.'),
    startPort: z
      .int()
      .min(1024)
      .max(65_515)
      .default(9001)
      .describe('The first port that px uses on each node; it uses 19 ports from there.')
      .meta({
        'x-kubernetes-validations': [
          {
            rule: 'self == oldSelf',
            message: 'startPort cannot change: nodes would not find each other during the update',
          },
        ],
      }),
    featureGates: stringMap.optional().describe('Features that are off by default, by name.'),
    volumes: z
      .array(podVolume)
      .max(64)
      .optional()
      .describe('More volumes in the storage pods.')
      .meta({ 'x-kubernetes-list-type': 'map', 'x-kubernetes-list-map-keys': ['name'] }),
    resources: resourceRequirements
      .optional()
      .describe('What the storage container asks for and may use.'),
    priorityClassName: objectName
      .optional()
      .describe('The priority of the storage pods; `system-node-critical` when unset.'),
    placement: z
      .object({
        nodeAffinity: nodeAffinity.optional().describe('On which nodes px runs.'),
        tolerations: z.array(toleration).max(64).optional().describe('Which taints it tolerates.'),
      })
      .optional()
      .describe(
        'Where px runs: unless said otherwise on every Linux node that is not a control plane and has no label `px/enabled=false`.',
      ),
    updateStrategy: updateStrategy.prefault({}).describe('How a change reaches the storage pods.'),
    deleteStrategy: z
      .object({
        type: z
          .enum(['Uninstall', 'UninstallAndWipe'])
          .describe(
            '`Uninstall` ends px on the nodes and keeps the volumes and the records of them, so that the same cluster can be installed again; `UninstallAndWipe` wipes all of it.',
          ),
      })
      .optional()
      .describe(
        'What deleting the StorageCluster does. Without it only Kubernetes objects go: applied again, the cluster is as it was.',
      ),
    revisionHistoryLimit: z
      .int()
      .min(0)
      .max(1000)
      .default(10)
      .describe('How many old revisions of the storage pods are kept.'),
    csi: z
      .object({
        enabled: z.boolean().default(true).describe('Whether the CSI driver runs.'),
        installSnapshotController: z
          .boolean()
          .default(false)
          .describe('Installs the controller of VolumeSnapshots, for clusters that have none.'),
        installSnapshotCRDs: z
          .boolean()
          .optional()
          .describe('Installs the definitions of VolumeSnapshots.'),
        topology: z
          .object({
            enabled: z.boolean().default(true).describe('Whether nodes tell where they are.'),
          })
          .prefault({})
          .describe('Nodes, zones and regions for the scheduler.'),
      })
      .prefault({})
      .describe('The CSI driver.'),
    stork: stork.optional().describe('A scheduler extension.'),
    autopilot: autopilot.optional().describe('Automatic growth.'),
    userInterface: userInterface.optional().describe('A console.'),
    monitoring: monitoring.optional().describe('Metrics and dashboards.'),
    security: security.optional().describe('TLS and tokens.'),
    autoUpdateComponents: z
      .enum(['Always', 'Never', 'Once'])
      .optional()
      .describe('Whether other components follow new releases by themselves.'),
    metadata: z
      .object({
        annotations: z.record(z.string(), stringMap).optional(),
        labels: z.record(z.string(), stringMap).optional(),
      })
      .optional()
      .describe('Labels and annotations for what the operator makes, by `kind/name`.'),
    nodes: z
      .array(nodeOverride)
      .max(256)
      .optional()
      .describe(
        'What is different on some nodes; what is unset is as above. The first match holds.',
      )
      .meta({ 'x-kubernetes-list-type': 'atomic' }),
  })
  .meta({ 'x-kubernetes-validations': [storageXorCloud, kvdbStays, kvdbNotAdded] });

export const storageClusterPhases = [
  'Initializing',
  'Running',
  'Degraded',
  'Uninstalling',
  'Unknown',
] as const;

const image = z.string().max(512).optional();

export const storageClusterStatus = z.object({
  clusterName: z.string().optional().describe('The name of the cluster in the data plane.'),
  clusterUid: z.string().optional().describe('The identity of the cluster.'),
  version: z.string().optional().describe('The version of px that every node runs.'),
  phase: z.enum(storageClusterPhases).optional().describe('How it is, in a word.'),
  reason: z.string().optional().describe('Why, for a person.'),
  observedGeneration: z.int().min(0).optional().describe('The generation that this speaks of.'),
  storage: z
    .object({
      storageNodesPerZone: z.int().min(0).optional().describe('Nodes with storage, a zone.'),
    })
    .optional()
    .describe('Where storage is.'),
  desiredImages: z
    .object({
      px: image.describe('The data plane and the driver.'),
      csiProvisioner: image,
      csiAttacher: image,
      csiResizer: image,
      csiSnapshotter: image,
      csiSnapshotController: image,
    })
    .optional()
    .describe('The images that should run.'),
  conditions: conditions.optional().describe('How it is, in detail.'),
});

export type StorageClusterSpec = z.output<typeof storageClusterSpec>;
export type StorageClusterStatus = z.output<typeof storageClusterStatus>;
export type NodeOverride = NonNullable<StorageClusterSpec['nodes']>[number];
export type StorageSpec = NonNullable<StorageClusterSpec['storage']>;

export interface StorageCluster extends KubeObject {
  readonly spec: StorageClusterSpec;
  readonly status?: StorageClusterStatus;
}

/**
 * The spec with its defaults, whatever an older definition let through.
 * Unknown fields are dropped here; `unsupportedFields` names them.
 */
export function parseStorageClusterSpec(spec: unknown): StorageClusterSpec {
  const parsed = storageClusterSpec.safeParse(withoutEmptyStrings(spec ?? {}));
  if (parsed.success) return parsed.data;
  const problems = describeIssues(parsed.error.issues, 'spec');
  throw new PxError('invalid_argument', problems.join('; '), { problems });
}

/** In these an empty string is a value. */
const verbatim = new Set([
  ...['env', 'volumes', 'placement', 'resources', 'labelSelector', 'metadata'],
  ...['runtimeOptions', 'featureGates', 'args', 'params', 'options'],
]);

/** Elsewhere it means the same as absence, in manifests that a template made. */
function withoutEmptyStrings(value: unknown): unknown {
  if (Array.isArray(value)) return value.map(withoutEmptyStrings);
  if (typeof value !== 'object' || value === null) return value;
  const kept = Object.entries(value)
    .filter(([, field]) => field !== '')
    .map(
      ([name, field]) => [name, verbatim.has(name) ? field : withoutEmptyStrings(field)] as const,
    );
  return Object.fromEntries(kept);
}

/** Whether the cluster runs its own key-value store. */
export function isKvdbInternal(spec: StorageClusterSpec): boolean {
  return spec.kvdb?.internal ?? (spec.kvdb?.endpoints ?? []).length === 0;
}
