import { z } from 'zod';

/**
 * Kubernetes' own types inside our custom resources. Their full schemas are
 * large and grow with every release, so the API server is told to keep what
 * is in them, and checks them where they are used: in the pods' templates.
 */
const keep = { 'x-kubernetes-preserve-unknown-fields': true } as const;

/** The name of an object. Empty means the same as absent: manifests in use have such fields. */
export const objectName = z.string().max(253);

export const envVar = z
  .object({
    name: z.string().min(1).max(256).describe('The name of the variable.'),
    value: z.string().max(32768).optional().describe('Its value.'),
    valueFrom: z
      .record(z.string(), z.unknown())
      .meta(keep)
      .optional()
      .describe('Where its value comes from, as in a container: `secretKeyRef` and so on.'),
  })
  .meta(keep);

export const envVars = z.array(envVar).max(256);

export const toleration = z
  .object({
    key: z.string().max(316).optional(),
    operator: z.enum(['Exists', 'Equal']).optional(),
    value: z.string().max(253).optional(),
    effect: z.enum(['NoSchedule', 'PreferNoSchedule', 'NoExecute']).optional(),
    tolerationSeconds: z.int().optional(),
  })
  .meta(keep);

const nodeSelectorRequirement = z
  .object({
    key: z.string().min(1).max(316),
    operator: z.enum(['In', 'NotIn', 'Exists', 'DoesNotExist', 'Gt', 'Lt']),
    values: z.array(z.string()).optional(),
  })
  .meta(keep);

const nodeSelectorTerm = z
  .object({
    matchExpressions: z.array(nodeSelectorRequirement).optional(),
    matchFields: z.array(nodeSelectorRequirement).optional(),
  })
  .meta(keep);

export const nodeAffinity = z
  .object({
    requiredDuringSchedulingIgnoredDuringExecution: z
      .object({ nodeSelectorTerms: z.array(nodeSelectorTerm) })
      .meta(keep)
      .optional(),
    preferredDuringSchedulingIgnoredDuringExecution: z
      .array(z.object({ weight: z.int(), preference: nodeSelectorTerm }).meta(keep))
      .optional(),
  })
  .meta(keep);

export type NodeSelectorTerm = z.output<typeof nodeSelectorTerm>;
export type NodeAffinity = z.output<typeof nodeAffinity>;
export type Toleration = z.output<typeof toleration>;
export type EnvVar = z.output<typeof envVar>;

/** A Kubernetes quantity: `500m`, `1Gi`, `2`. */
export const quantity = z
  .union([
    z.int().min(0),
    z
      .string()
      .max(64)
      .regex(
        /^([0-9]+(\.[0-9]*)?|\.[0-9]+)([eE][+-]?[0-9]+|[numkMGTPE]|[KMGTPE]i)?$/,
        'must be a quantity, such as 500m or 1Gi',
      ),
  ])
  .meta({ 'x-kubernetes-int-or-string': true });

const quantities = z.record(z.string(), quantity);

export const resourceRequirements = z
  .object({
    requests: quantities.optional().describe('What the scheduler sets aside.'),
    limits: quantities.optional().describe('What may be used at most.'),
  })
  .meta(keep);

const labelSelectorRequirement = z.object({
  key: z.string().min(1).max(316),
  operator: z.enum(['In', 'NotIn', 'Exists', 'DoesNotExist']),
  values: z.array(z.string().max(63)).max(64).optional(),
});

export const labelSelector = z.object({
  matchLabels: z
    .record(z.string(), z.string())
    .optional()
    .describe('Labels that must all be there.'),
  matchExpressions: z
    .array(labelSelectorRequirement)
    .max(64)
    .optional()
    .describe('Demands on labels that must all hold.'),
});

export type LabelSelector = z.output<typeof labelSelector>;

/** A volume source and its mount in one, as users of StorageCluster write it. */
export const podVolume = z
  .object({
    name: z.string().min(1).max(63).describe('The name, unique in the pod.'),
    mountPath: z.string().min(1).max(4096).optional().describe('Where it is in the container.'),
    mountPropagation: z
      .enum(['None', 'HostToContainer', 'Bidirectional'])
      .optional()
      .describe('How mounts below it travel between the node and the container.'),
    readOnly: z.boolean().optional().describe('Whether the container may only read.'),
  })
  .meta({
    ...keep,
    description: 'Its source as in a pod: `hostPath`, `secret`, `configMap` and so on.',
  })
  // The source's fields are the pod's business: they are kept here, too.
  .catchall(z.unknown());

export const intOrPercent = z
  .union([z.int().min(1), z.string().regex(/^([1-9][0-9]?|100)%$/, 'must be 1% to 100%')])
  .meta({ 'x-kubernetes-int-or-string': true });
