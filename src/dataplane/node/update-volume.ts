import { PxError } from '../../kernel/errors.js';
import type { VolumeRecord, VolumeSpecRecord } from '../../kernel/volume-record.js';
import type { UpdateVolumeRequest__Output } from '../../gen/px/v1/UpdateVolumeRequest.js';
import type { Volume } from '../../gen/px/v1/Volume.js';
import type { CallContext } from '../../platform/grpc-server.js';
import { parseLimits } from '../policy/io-limits.js';
import { canonicalJson } from '../policy/policy-digest.js';
import { askedPolicy, governing, type Policies } from '../policy/policy-entry.js';
import { breachesOf, refusal } from '../policy/volume-rules.js';
import type { NodeContext } from './context.js';
import { getVolume } from './read-volumes.js';
import { parsePriority, parseSnapshotSchedule } from './volume-spec.js';

type VolumeChanges = Pick<UpdateVolumeRequest__Output, 'set_labels' | 'remove_labels'> &
  Partial<UpdateVolumeRequest__Output>;

/**
 * Any node can do it: a compare-and-set on the record is all the order that it
 * needs. The engine that has the volume attached learns of new limits from the
 * record; replicas that must move for a new class or policy do so afterwards.
 */
export async function updateVolume(
  context: NodeContext,
  call: CallContext,
  request: UpdateVolumeRequest__Output,
): Promise<Volume> {
  checkLabels(request);
  const { record } = await context.volumes.require(request.id_or_name);
  const policies = await context.policies.all();
  const updated = await context.volumes.update(record.id, (current) => {
    return withChanges(current, request, policies);
  });
  return getVolume(context, call, updated.id);
}

/** The record with the changes, undefined when it has them already. */
export function withChanges(
  record: VolumeRecord,
  changes: VolumeChanges,
  policies: Policies = new Map(),
): VolumeRecord | undefined {
  if (record.lifecycle !== 'ready') {
    throw new PxError('failed_precondition', `volume "${record.name}" is ${record.lifecycle}`);
  }
  const changed = { ...record, spec: changedSpec(record.spec, changes) };
  if (changes.storage_policy !== undefined) checkNewPolicy(changed, policies);
  if (changes.io_priority !== undefined) checkPriority(changed, policies);
  if (canonicalJson(changed.spec) === canonicalJson(record.spec)) return undefined;
  const moves =
    changed.spec.ioPriority !== record.spec.ioPriority ||
    changed.spec.storagePolicy !== record.spec.storagePolicy;
  return moves ? { ...changed, policyApplied: 'asked' } : changed;
}

function changedSpec(before: VolumeSpecRecord, changes: VolumeChanges): VolumeSpecRecord {
  const { storagePolicy, limits, snapshotSchedule, ...spec } = before;
  const policy = changes.storage_policy ?? storagePolicy ?? '';
  const schedule =
    changes.snapshot_schedule === undefined
      ? (snapshotSchedule ?? '')
      : parseSnapshotSchedule(changes.snapshot_schedule);
  const newLimits = parseLimits(changes, limits);
  const { labels } = before;
  const kept = Object.entries(labels).filter(([name]) => !changes.remove_labels.includes(name));
  return {
    ...spec,
    ioPriority:
      changes.io_priority === undefined ? spec.ioPriority : parsePriority(changes.io_priority),
    sticky: changes.sticky ?? spec.sticky,
    labels: { ...Object.fromEntries(kept), ...changes.set_labels },
    ...(policy === '' ? {} : { storagePolicy: policy }),
    ...(newLimits === undefined ? {} : { limits: newLimits }),
    ...(schedule === '' ? {} : { snapshotSchedule: schedule }),
  };
}

/** What the policy can change of a living volume follows; what it can't must be right already. */
function checkNewPolicy(record: VolumeRecord, policies: Policies): void {
  const entry = askedPolicy(policies, record.spec.storagePolicy ?? '');
  if (entry === undefined) return;
  const { enforcement, volume } = entry.policy;
  // What it is on its way to counts, not what it is while replicas come or go.
  const replicas = record.replicaWish?.targetCount ?? record.spec.replicas;
  const meant = { sizeBytes: record.sizeBytes, spec: { ...record.spec, replicas } };
  const broken = breachesOf(volume, meant).find((breach) => {
    const isSize = breach.rule === 'volume.sizeBytes';
    return enforcement === 'Reject' || (isSize && breach.remedy === undefined);
  });
  if (broken !== undefined) throw refusal(entry, broken);
}

function checkPriority(record: VolumeRecord, policies: Policies): void {
  const entry = governing(policies, record);
  if (entry === undefined) return;
  const broken = breachesOf(entry.policy.volume, record).find(
    ({ rule }) => rule === 'volume.ioPriority',
  );
  if (broken !== undefined) throw refusal(entry, broken);
}

function checkLabels(request: UpdateVolumeRequest__Output): void {
  const names = Object.keys(request.set_labels);
  const both = names.find((name) => request.remove_labels.includes(name));
  if (both !== undefined) {
    throw new PxError('invalid_argument', `label "${both}" is both set and removed`);
  }
  if (names.includes('')) throw new PxError('invalid_argument', 'a label needs a name');
}
