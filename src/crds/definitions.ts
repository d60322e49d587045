import type { z } from 'zod';
import type { Resource } from './kube-object.js';
import { resources } from './resources.js';
import { storageClusterSpec, storageClusterStatus } from './storage-cluster.js';
import { storageNodeSpec, storageNodeStatus } from './storage-node.js';
import { storagePolicySpec, storagePolicyStatus } from './storage-policy.js';
import type { ValidationRule } from './structural-schema.js';

export interface PrinterColumn {
  readonly name: string;
  readonly type: 'string' | 'integer' | 'boolean' | 'date';
  readonly jsonPath: string;
  readonly description?: string;
  /** Columns above 0 show with `-o wide` only. */
  readonly priority?: number;
}

/** All that a custom resource is; manifests and documents are made from it. */
export interface Definition {
  readonly resource: Resource;
  readonly shortNames: readonly string[];
  readonly description: string;
  readonly columns: readonly PrinterColumn[];
  readonly spec: z.ZodType;
  readonly status: z.ZodType;
  /** Unknown fields of the spec are kept, so that the operator can name them. */
  readonly keepUnknown: boolean;
  /** Rules on the object as a whole, where `self.metadata.name` can be read. */
  readonly rules: readonly ValidationRule[];
}

const age: PrinterColumn = { name: 'Age', type: 'date', jsonPath: '.metadata.creationTimestamp' };

const storageCluster: Definition = {
  resource: resources.storageCluster,
  shortNames: ['stc'],
  description:
    'A cluster of px: which nodes and devices it takes, and what runs there. One for each Kubernetes cluster.',
  columns: [
    {
      name: 'Cluster UUID',
      type: 'string',
      jsonPath: '.status.clusterUid',
      description: 'The identity of the cluster',
    },
    {
      name: 'Status',
      type: 'string',
      jsonPath: '.status.phase',
      description: 'How the cluster is',
    },
    {
      name: 'Version',
      type: 'string',
      jsonPath: '.status.version',
      description: 'The version that every node runs',
    },
    age,
    { name: 'Reason', type: 'string', jsonPath: '.status.reason', priority: 1 },
  ],
  spec: storageClusterSpec,
  status: storageClusterStatus,
  keepUnknown: true,
  rules: [
    {
      rule: 'size(self.metadata.name) <= 63',
      message:
        'the name must have at most 63 characters: it is a label of all objects of the cluster',
    },
  ],
};

const storageNode: Definition = {
  resource: resources.storageNode,
  shortNames: ['sn'],
  description:
    'What a node of px is like. The operator writes it, under the name of the Kubernetes node.',
  columns: [
    {
      name: 'ID',
      type: 'string',
      jsonPath: '.status.nodeUid',
      description: 'The identity of the node',
    },
    { name: 'Status', type: 'string', jsonPath: '.status.phase', description: 'How the node is' },
    {
      name: 'Version',
      type: 'string',
      jsonPath: '.spec.version',
      description: 'The version that the node runs',
    },
    age,
    { name: 'Zone', type: 'string', jsonPath: '.status.geography.zone', priority: 1 },
    { name: 'Used', type: 'string', jsonPath: '.status.storage.usedSize', priority: 1 },
    { name: 'Total', type: 'string', jsonPath: '.status.storage.totalSize', priority: 1 },
  ],
  spec: storageNodeSpec,
  status: storageNodeStatus,
  keepUnknown: false,
  rules: [],
};

const storagePolicy: Definition = {
  resource: resources.storagePolicy,
  shortNames: ['stp'],
  description: 'What an administrator demands of volumes: named by a StorageClass, or the default.',
  columns: [
    { name: 'Default', type: 'boolean', jsonPath: '.spec.default' },
    { name: 'Enforcement', type: 'string', jsonPath: '.spec.enforcement' },
    {
      name: 'Volumes',
      type: 'integer',
      jsonPath: '.status.governed',
      description: 'How many volumes it governs',
    },
    {
      name: 'Violating',
      type: 'integer',
      jsonPath: '.status.violating',
      description: 'How many volumes break a rule of it',
    },
    age,
  ],
  spec: storagePolicySpec,
  status: storagePolicyStatus,
  keepUnknown: false,
  rules: [
    {
      rule: 'size(self.metadata.name) <= 63',
      message: 'the name must have at most 63 characters',
    },
  ],
};

export const definitions: readonly Definition[] = [storageCluster, storageNode, storagePolicy];
