import { z } from 'zod';

/**
 * A node as etcd holds it, at `pwx/<clusterid>/nodes/<id>`: what others must
 * know of it to place replicas there and to reach it. It stays when the node
 * goes; whether the node lives says `alive/<id>`, which is under a lease.
 */
const poolSchema = z.object({
  id: z.string(),
  class: z.enum(['high', 'medium', 'low']),
  kind: z.enum(['device', 'directory']),
  state: z.enum(['online', 'full', 'offline']),
  snapshotMethod: z.enum(['reflink', 'copy']),
  totalBytes: z.number(),
  usedBytes: z.number(),
  availableBytes: z.number(),
});

const driveSchema = z.object({
  path: z.string(),
  id: z.string(),
  poolId: z.string(),
  sizeBytes: z.number(),
  usedBytes: z.number(),
  class: z.string(),
  media: z.string(),
  state: z.enum(['online', 'refused', 'offline']),
  reason: z.string(),
  readBytesPerSecond: z.number(),
  readIops: z.number(),
});

const nodeSchema = z.object({
  id: z.string(),
  name: z.string(),
  version: z.string(),
  zone: z.string(),
  region: z.string(),
  rack: z.string(),
  labels: z.record(z.string(), z.string()),
  /** host:port of the API for other nodes. */
  mgmtAddress: z.string(),
  /** host:port of the replication protocol. */
  dataAddress: z.string(),
  state: z.enum(['operational', 'degraded', 'maintenance']),
  stateReason: z.string(),
  pools: z.array(poolSchema),
  drives: z.array(driveSchema),
  /** Bytes that the replica of a volume uses here, by volume id. */
  replicaUsage: z.record(z.string(), z.number()),
  updatedAt: z.string(),
  /** A member of the internal kvdb lives here. */
  kvdbMember: z.boolean().default(false),
  configHash: z.string().default(''),
  engineVersion: z.string().default(''),
});

export type NodeRecord = z.infer<typeof nodeSchema>;
export type NodePool = z.infer<typeof poolSchema>;

/** Undefined for a value that no version of ours wrote: it must not stop the rest. */
export function parseNodeRecord(value: string): NodeRecord | undefined {
  try {
    const parsed = nodeSchema.safeParse(JSON.parse(value));
    return parsed.success ? parsed.data : undefined;
  } catch {
    return undefined;
  }
}
