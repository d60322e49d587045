import { z } from 'zod';

/** One condition of a status; `type` is unique in its list. */
export const condition = z.object({
  source: z.string().max(64).optional().describe('Which part of px says it.'),
  type: z.string().min(1).max(64).describe('What it is about.'),
  status: z.enum(['True', 'False', 'Unknown']).describe('Whether it holds.'),
  reason: z.string().max(128).optional().describe('Why, in one word for machines.'),
  message: z.string().max(32768).optional().describe('Why, for a person.'),
  observedGeneration: z
    .int()
    .min(0)
    .optional()
    .describe('The generation of the spec that it speaks of.'),
  lastTransitionTime: z.iso
    .datetime()
    .optional()
    .describe('When `status` last changed, RFC 3339 in UTC.'),
});

export type Condition = Readonly<z.output<typeof condition>>;

/** Kept as a map by `type`, so that writers of different conditions don't collide. */
export const conditions = z
  .array(condition)
  .max(64)
  .meta({ 'x-kubernetes-list-type': 'map', 'x-kubernetes-list-map-keys': ['type'] });
