import { z } from 'zod';
import { parseQuantityBytes } from '../kernel/quantity.js';
import type { StoragePolicy } from '../kernel/storage-policy.js';
import { conditions } from './condition.js';
import type { KubeObject } from './kube-object.js';
import { quantity } from './kubernetes-types.js';

const operator = z
  .enum(['Equal', 'Minimum', 'Maximum'])
  .default('Equal')
  .describe('`Equal`: just so. `Minimum`: at least. `Maximum`: at most.');

const volumeRules = z.object({
  replication: z
    .object({ value: z.int().min(1).max(5).describe('How many.'), operator })
    .optional()
    .describe('How many replicas a volume has.'),
  size: z
    .object({ value: quantity.describe('How large, such as `100Gi`.'), operator })
    .optional()
    .describe('How large a volume is.'),
  ioPriority: z
    .enum(['high', 'medium', 'low'])
    .optional()
    .describe('The class of the pools that replicas lie in.'),
  ioProfile: z
    .string()
    .regex(/^[a-z_]{1,32}$/, 'must be one of the I/O profiles of the StorageClass parameters')
    .optional()
    .describe('What the I/O is like, as in the StorageClass.'),
  aggregationLevel: z.int().min(1).max(3).optional().describe('Over how many sets it is striped.'),
  sticky: z.boolean().optional().describe('Whether it is kept from deletion.'),
  labels: z.record(z.string(), z.string()).optional().describe('Labels that a volume gets.'),
});

const matchExpression = z
  .object({
    key: z.string().min(1).max(316).describe('The label.'),
    operator: z.enum(['In', 'NotIn', 'Exists', 'DoesNotExist', 'Lt', 'Gt']),
    values: z.array(z.string().max(253)).max(64).optional().describe('The values.'),
  })
  .meta({
    'x-kubernetes-validations': [
      {
        rule: "self.operator in ['Exists', 'DoesNotExist'] ? (!has(self.values) || size(self.values) == 0) : (has(self.values) && size(self.values) > 0)",
        message:
          'values must be given for In, NotIn, Lt and Gt, and must be absent for Exists and DoesNotExist',
      },
    ],
  });

const affinityRule = z
  .object({
    enforcement: z
      .enum(['required', 'preferred'])
      .default('required')
      .describe('`required`: or the volume is not made. `preferred`: where possible.'),
    weight: z.int().min(1).max(100).optional().describe('How much a preferred rule counts.'),
    topologyKey: z
      .string()
      .min(1)
      .max(316)
      .optional()
      .describe('`node`, `zone`, `region`, `rack`, or a label of nodes.'),
    matchExpressions: z
      .array(matchExpression)
      .max(32)
      .optional()
      .describe('Labels: of nodes for rules of replicas, of volumes for rules of volumes.'),
  })
  .meta({
    'x-kubernetes-validations': [
      {
        rule: 'has(self.topologyKey) || (has(self.matchExpressions) && size(self.matchExpressions) > 0)',
        message: 'topologyKey or matchExpressions must be set',
      },
      {
        rule: "!has(self.weight) || self.enforcement == 'preferred'",
        message: 'weight belongs to preferred rules only',
      },
    ],
  });

const affinityRules = z.array(affinityRule).max(32).optional();

const time = z
  .string()
  .regex(/^([01][0-9]|2[0-3]):[0-5][0-9]$/, 'must be HH:MM')
  .describe('`HH:MM`, UTC.');

const retain = z.int().min(1).max(1000).optional().describe('How many snapshots stay.');

const snapshotSchedule = z
  .object({
    interval: z
      .object({
        intervalMinutes: z.int().min(1).max(525_600).describe('Minutes between snapshots.'),
        retain,
      })
      .optional()
      .describe('Every so many minutes; 5 stay unless said otherwise.'),
    daily: z
      .object({ time, retain })
      .optional()
      .describe('Each day; 7 stay unless said otherwise.'),
    weekly: z
      .object({
        day: z
          .enum(['sunday', 'monday', 'tuesday', 'wednesday', 'thursday', 'friday', 'saturday'])
          .describe('The day.'),
        time,
        retain,
      })
      .optional()
      .describe('Each week; 5 stay unless said otherwise.'),
    monthly: z
      .object({
        date: z.int().min(1).max(31).describe('The day; the last one of a month that has fewer.'),
        time,
        retain,
      })
      .optional()
      .describe('Each month; 12 stay unless said otherwise.'),
  })
  .meta({
    'x-kubernetes-validations': [
      {
        rule: 'has(self.interval) || has(self.daily) || has(self.weekly) || has(self.monthly)',
        message: 'one of interval, daily, weekly and monthly must be set',
      },
    ],
  });

export const storagePolicySpec = z.object({
  default: z
    .boolean()
    .default(false)
    .describe('Governs every volume that names no policy; one policy at most may.'),
  enforcement: z
    .enum(['Coerce', 'Reject'])
    .default('Coerce')
    .describe('A request that breaks a rule is changed to what the rule allows, or refused.'),
  allowUpdate: z
    .boolean()
    .default(false)
    .describe('Whether a change of the policy is applied to the volumes that live already.'),
  volume: volumeRules.prefault({}).describe('What is demanded of a volume.'),
  placement: z
    .object({
      replicaAffinity: affinityRules.describe('Where replicas go.'),
      replicaAntiAffinity: affinityRules.describe('What replicas keep apart from.'),
      volumeAffinity: affinityRules.describe('Beside which volumes.'),
      volumeAntiAffinity: affinityRules.describe('Apart from which volumes.'),
    })
    .prefault({})
    .describe('Where replicas lie.'),
  snapshotSchedule: snapshotSchedule.optional().describe('When snapshots are made.'),
});

export const storagePolicyStatus = z.object({
  observedGeneration: z.int().min(0).optional().describe('The generation that this speaks of.'),
  governed: z.int().min(0).optional().describe('How many volumes the policy governs.'),
  changing: z.int().min(0).optional().describe('Volumes whose change to it is at work.'),
  waiting: z.int().min(0).optional().describe('Volumes whose change to it waits for its turn.'),
  violating: z.int().min(0).optional().describe('How many volumes break a rule.'),
  violations: z
    .array(
      z.object({
        volume: z.string().describe('The name of the volume.'),
        volumeId: z.string().optional().describe('Its identity.'),
        rule: z.string().describe('The rule.'),
        message: z.string().optional().describe('What is wrong with it.'),
      }),
    )
    .max(100)
    .optional()
    .describe('The first of these, by name.')
    .meta({ 'x-kubernetes-list-type': 'atomic' }),
  lastReconcileTime: z.iso
    .datetime()
    .optional()
    .describe('When the cluster was last asked and told, RFC 3339 in UTC.'),
  conditions: conditions.optional().describe('How it is, in detail.'),
});

export type StoragePolicySpec = z.output<typeof storagePolicySpec>;
export type StoragePolicyStatus = z.output<typeof storagePolicyStatus>;

export interface StoragePolicyResource extends KubeObject {
  readonly spec: StoragePolicySpec;
  readonly status?: StoragePolicyStatus;
}

/** The policy as the data plane has it: sizes in bytes. */
export function storagePolicyOf(spec: StoragePolicySpec): StoragePolicy {
  const { size, ...rules } = spec.volume;
  const sizeBytes =
    size === undefined
      ? {}
      : {
          sizeBytes: {
            value: parseQuantityBytes(size.value, 'spec.volume.size.value'),
            operator: size.operator,
          },
        };
  return { ...spec, volume: { ...rules, ...sizeBytes } };
}
