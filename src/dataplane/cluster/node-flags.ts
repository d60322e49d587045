import { z } from 'zod';

/**
 * What others decide about a node, at `pwx/<clusterid>/node-flags/<id>`: its
 * own record only its own daemon writes, and that may be dead.
 */
const schema = z.object({
  /** Nothing new is placed there. */
  maintenance: z.boolean().default(false),
  /** Its replicas are moved off; `leave`: then the node is forgotten. */
  decommission: z.enum(['', 'drain', 'leave']).default(''),
});

export type NodeFlags = z.infer<typeof schema>;

export const noFlags: NodeFlags = { maintenance: false, decommission: '' };

/** Nothing is set for a value that no version of ours wrote. */
export function parseNodeFlags(value: string): NodeFlags {
  try {
    return schema.parse(JSON.parse(value));
  } catch {
    return noFlags;
  }
}
