import type { VolumeRecord } from '../../kernel/volume-record.js';
import type { VolumeSpec__Output } from '../../gen/px/v1/VolumeSpec.js';
import { digestOf } from '../policy/policy-digest.js';
import { askedPolicy, governing, revisionOf } from '../policy/policy-entry.js';
import { breachesOf, coercedLabel, enforce, refusal } from '../policy/volume-rules.js';
import type { NodeContext } from './context.js';
import type { AskedVolume } from './volume-spec.js';

/** What a new record keeps of where it came from. */
export type VolumeOrigin = Pick<VolumeRecord, 'requestDigest' | 'policyApplied'>;

export interface GovernedVolume extends AskedVolume {
  readonly origin: VolumeOrigin;
}

/** The same request, now or years later, has the same digest; what a policy makes of it does not count. */
export function requestDigest({ sizeBytes, spec }: AskedVolume, parentId: string): string {
  return digestOf({ sizeBytes, spec, parentId });
}

/** What a request says nothing of, by the policy rule that may fill it in. */
export function openRules(spec: VolumeSpec__Output | null): ReadonlySet<string> {
  const open = new Set<string>();
  if (!spec?.replicas) open.add('volume.replication');
  if (!spec?.io_priority) open.add('volume.ioPriority');
  if (!spec?.io_profile) open.add('volume.ioProfile');
  // A flag that is not set can't be told from one that is not spoken of.
  if (spec?.sticky !== true) open.add('volume.sticky');
  return open;
}

/**
 * What the policies of now make of a request for a volume that is not there
 * yet. One that is there is taken as it is: its policy may be gone meanwhile.
 */
export async function governRequest(
  context: NodeContext,
  request: {
    readonly name: string;
    readonly limitBytes: number;
    readonly parentId: string;
    readonly open: ReadonlySet<string>;
  },
  asked: AskedVolume,
): Promise<GovernedVolume> {
  const origin = { requestDigest: requestDigest(asked, request.parentId) };
  const existing = await context.volumes.find(request.name);
  if (existing?.record.name === request.name) return { ...asked, origin };
  const entry = askedPolicy(await context.policies.all(), asked.spec.storagePolicy ?? '');
  if (entry === undefined) return { ...asked, origin };
  const volume = enforce(entry, asked, request);
  const label = volume.spec.labels[coercedLabel];
  if (label !== undefined) {
    context.logger.info('a storage policy changed what was asked for', {
      volume: request.name,
      changes: label,
    });
  }
  return { ...volume, origin: { ...origin, policyApplied: revisionOf(entry) } };
}

/** The size that a growth leads to under the volume's policy; refuses what it forbids. */
export async function governGrowth(
  context: NodeContext,
  record: VolumeRecord,
  sizeBytes: number,
): Promise<number> {
  const entry = governing(await context.policies.all(), record);
  if (entry === undefined) return sizeBytes;
  const { sizeBytes: rule } = entry.policy.volume;
  const sizeOnly = {
    ...entry,
    policy: { ...entry.policy, volume: rule ? { sizeBytes: rule } : {} },
  };
  return enforce(sizeOnly, { sizeBytes, spec: record.spec }, { limitBytes: Infinity }).sizeBytes;
}

/** Refuses a number of replicas that the volume's policy does not allow; 0 is as many as now. */
export async function governReplicas(
  context: NodeContext,
  record: VolumeRecord,
  count: number,
): Promise<void> {
  const entry = count === 0 ? undefined : governing(await context.policies.all(), record);
  if (entry === undefined) return;
  const changed = { sizeBytes: record.sizeBytes, spec: { ...record.spec, replicas: count } };
  const { replication } = entry.policy.volume;
  const [breach] = breachesOf(replication === undefined ? {} : { replication }, changed);
  if (breach !== undefined) throw refusal(entry, { ...breach, field: 'count' });
}

/** A clone is a new volume: what its source's policy left on the source is not its own. */
export async function cloneSpec(
  context: NodeContext,
  source: VolumeRecord,
  labels: Readonly<Record<string, string>>,
): Promise<VolumeRecord['spec']> {
  const { storagePolicy, ...spec } = source.spec;
  const inherited = Object.entries(spec.labels).filter(([name]) => name !== coercedLabel);
  const named = storagePolicy !== undefined && (await context.policies.all()).has(storagePolicy);
  return {
    ...spec,
    sticky: false,
    labels: { ...Object.fromEntries(inherited), ...labels },
    ...(named ? { storagePolicy } : {}),
  };
}
