import { z } from 'zod';
import { conditions } from './condition.js';
import type { KubeObject } from './kube-object.js';
import { quantity } from './kubernetes-types.js';

export const storageNodePhases = [
  'Initializing',
  'Online',
  'Updating',
  'NotInQuorum',
  'Maintenance',
  'Decommissioned',
  'Degraded',
  'Offline',
  'Failed',
  'Unknown',
] as const;

export type StorageNodePhase = (typeof storageNodePhases)[number];

export const storageNodeSpec = z.object({
  version: z.string().max(128).optional().describe('The version of px that the node runs.'),
});

const pool = z.object({
  id: z.string().describe('Its identity.'),
  class: z.string().optional().describe('What its devices can do: high, medium or low.'),
  status: z.string().optional().describe('How it is.'),
  totalSize: quantity.optional().describe('What it holds.'),
  usedSize: quantity.optional().describe('What is used.'),
  devices: z.array(z.string()).optional().describe('The paths of its devices.'),
});

export const storageNodeStatus = z.object({
  nodeUid: z.string().optional().describe('The identity of the node in the data plane.'),
  phase: z.enum(storageNodePhases).optional().describe('How it is, in a word.'),
  reason: z.string().optional().describe('Why, for a person.'),
  network: z
    .object({
      dataIP: z.string().optional().describe('The address for replication.'),
      mgmtIP: z.string().optional().describe('The address of its API.'),
    })
    .optional()
    .describe('Its addresses.'),
  storage: z
    .object({
      totalSize: quantity.optional().describe('What its pools hold.'),
      usedSize: quantity.optional().describe('What is used.'),
    })
    .optional()
    .describe('Its capacity.'),
  pools: z
    .array(pool)
    .optional()
    .describe('Its pools.')
    .meta({ 'x-kubernetes-list-type': 'map', 'x-kubernetes-list-map-keys': ['id'] }),
  geography: z
    .object({
      region: z.string().optional(),
      zone: z.string().optional(),
      rack: z.string().optional(),
    })
    .optional()
    .describe('Where it is.'),
  nodeAttributes: z
    .object({
      storage: z.boolean().optional().describe('Whether it has storage.'),
      kvdb: z.boolean().optional().describe('Whether it is a member of the internal kvdb.'),
    })
    .optional()
    .describe('What it does.'),
  configHash: z
    .string()
    .optional()
    .describe('SHA-256 of the configuration that the node runs with.'),
  decommission: z
    .object({
      state: z.enum(['Moving', 'Done', 'Refused']).optional().describe('How far it is.'),
      replicasLeft: z.int().min(0).optional().describe('Replicas that are still here.'),
      message: z.string().optional().describe('What it waits for.'),
    })
    .optional()
    .describe('Being emptied, when it is.'),
  conditions: conditions.optional().describe('How it is, in detail.'),
});

export type StorageNodeSpec = z.output<typeof storageNodeSpec>;
export type StorageNodeStatus = z.output<typeof storageNodeStatus>;

/** Written by the operator alone, named after the Kubernetes node. */
export interface StorageNode extends KubeObject {
  readonly spec?: StorageNodeSpec;
  readonly status?: StorageNodeStatus;
}
