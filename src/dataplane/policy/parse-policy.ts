import { z } from 'zod';
import { PxError } from '../../kernel/errors.js';
import { maxIntervalMinutes, maxRetain, weekdays } from '../../kernel/snapshot-schedule.js';
import type { StoragePolicy, Weekday } from '../../kernel/storage-policy.js';

/**
 * Reads a policy strictly: a key that is misspelt would be a rule that nobody
 * enforces, so what is not known is refused with its name.
 */
const operator = z.enum(['Equal', 'Minimum', 'Maximum']);
const ioProfiles = [
  'auto',
  'db_remote',
  'none',
  'journal',
  'auto_journal',
  'sequential',
  'random',
  'db',
  'cms',
  'sync_shared',
] as const;

const maxReplicas = 5;
const maxSizeBytes = 2 ** 50;
const maxRules = 32;

const replication = z.strictObject({
  value: z.int().min(1).max(maxReplicas),
  operator: operator.default('Equal'),
});

const size = z.strictObject({
  value: z.int().min(4096).max(maxSizeBytes),
  operator: operator.default('Equal'),
});

const labels = z.record(z.string().min(1).max(253), z.string().max(4096));

const volume = z.strictObject({
  replication: replication.optional(),
  sizeBytes: size.optional(),
  ioPriority: z.enum(['high', 'medium', 'low']).optional(),
  ioProfile: z.enum(ioProfiles).optional(),
  aggregationLevel: z
    .literal(1, { error: 'must be 1: striping over replica sets is not there yet' })
    .optional(),
  sticky: z.boolean().optional(),
  labels: labels.optional(),
});

const matchExpression = z
  .strictObject({
    key: z.string().min(1).max(317),
    operator: z.enum(['In', 'NotIn', 'Exists', 'DoesNotExist', 'Lt', 'Gt']),
    values: z.array(z.string()).max(256).optional(),
  })
  .superRefine(({ operator: kind, values = [] }, context) => {
    const refuse = (message: string): void =>
      context.addIssue({ code: 'custom', path: ['values'], message });
    if (kind === 'Exists' || kind === 'DoesNotExist') {
      if (values.length > 0) refuse(`must be left out with ${kind}`);
    } else if (kind === 'Lt' || kind === 'Gt') {
      if (values.length !== 1 || !/^-?\d{1,15}$/.test(values[0] ?? '')) {
        refuse(`must be one whole number with ${kind}`);
      }
    } else if (values.length === 0) refuse(`must have at least one value with ${kind}`);
  });

const affinityRule = z
  .strictObject({
    enforcement: z.enum(['required', 'preferred']).default('required'),
    weight: z.int().min(1).max(100).optional(),
    topologyKey: z.string().min(1).max(317).optional(),
    matchExpressions: z.array(matchExpression).max(maxRules).optional(),
  })
  .superRefine((rule, context) => {
    if (rule.enforcement === 'required' && rule.weight !== undefined) {
      context.addIssue({
        code: 'custom',
        path: ['weight'],
        message: 'counts only for a preferred rule; leave it out',
      });
    }
  });

const hasExpressions = (rule: { matchExpressions?: readonly unknown[] | undefined }): boolean =>
  (rule.matchExpressions ?? []).length > 0;

const replicaRules = z
  .array(
    affinityRule.refine((rule) => rule.topologyKey !== undefined || hasExpressions(rule), {
      error: 'needs a topologyKey or matchExpressions on the labels of nodes',
    }),
  )
  .max(maxRules)
  .optional();

const volumeRules = z
  .array(
    affinityRule.refine(hasExpressions, {
      error: 'needs matchExpressions: the labels of the volumes that are meant',
    }),
  )
  .max(maxRules)
  .optional();

const placement = z.strictObject({
  replicaAffinity: replicaRules,
  replicaAntiAffinity: replicaRules,
  volumeAffinity: volumeRules,
  volumeAntiAffinity: volumeRules,
});

const time = z
  .string()
  .regex(/^([01]\d|2[0-3]):[0-5]\d$/, { error: 'must be a time of day as HH:MM, UTC' });
const retain = z.int().min(1).max(maxRetain).optional();

const snapshotSchedule = z.strictObject({
  interval: z
    .strictObject({ intervalMinutes: z.int().min(1).max(maxIntervalMinutes), retain })
    .optional(),
  daily: z.strictObject({ time, retain }).optional(),
  weekly: z
    .strictObject({ day: z.enum(weekdays as [Weekday, ...Weekday[]]), time, retain })
    .optional(),
  monthly: z.strictObject({ date: z.int().min(1).max(31), time, retain }).optional(),
});

const policy = z.strictObject({
  default: z.boolean().default(false),
  enforcement: z.enum(['Coerce', 'Reject']).default('Coerce'),
  allowUpdate: z.boolean().default(false),
  volume: volume.default({}),
  placement: placement.default({}),
  snapshotSchedule: snapshotSchedule.optional(),
});

/** Throws `invalid_argument` that names each wrong field and what would be right. */
export function parsePolicy(json: string): StoragePolicy {
  let value: unknown;
  try {
    value = JSON.parse(json);
  } catch (error) {
    throw new PxError(
      'invalid_argument',
      'policy_json: is not JSON',
      { field: 'policy_json' },
      error,
    );
  }
  const parsed = policy.safeParse(value);
  if (parsed.success) return withoutUndefined(parsed.data);
  const problems = parsed.error.issues.map(describe);
  throw new PxError('invalid_argument', problems.join('; '), {
    field: fieldOf(parsed.error.issues[0]?.path ?? []),
  });
}

export function checkPolicyName(name: string): string {
  if (/^[A-Za-z0-9]([A-Za-z0-9._-]{0,251}[A-Za-z0-9])?$/.test(name)) return name;
  throw new PxError(
    'invalid_argument',
    `name: "${name}" must be 1 to 253 letters, digits, "-", "_" or ".", with a letter or digit at both ends`,
    { field: 'name' },
  );
}

function describe(issue: z.core.$ZodIssue): string {
  const field = fieldOf(issue.path);
  if (issue.code === 'unrecognized_keys') {
    return issue.keys
      .map((key) => `${fieldOf([...issue.path, key])}: is not a field of a policy`)
      .join('; ');
  }
  return `${field}: ${issue.message}`;
}

function fieldOf(path: readonly PropertyKey[]): string {
  return path.length === 0 ? 'policy_json' : path.map(String).join('.');
}

/** The same rules are the same JSON: what is not said has no key. */
function withoutUndefined(value: z.infer<typeof policy>): StoragePolicy {
  return JSON.parse(JSON.stringify(value)) as StoragePolicy;
}
