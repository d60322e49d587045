import type { ScheduleKind } from '../../kernel/snapshot-schedule.js';
import type { VolumeRecord } from '../../kernel/volume-record.js';
import { governing, type Policies } from '../policy/policy-entry.js';
import { mergedSchedule, slotRules, type SlotRule } from './slots.js';

/** The labels by which a scheduled snapshot is known. */
export const kindLabel = 'px.io/snapshot-schedule';
export const slotLabel = 'px.io/snapshot-slot';

export interface DueSnapshot {
  readonly volumeId: string;
  readonly kind: ScheduleKind;
  /** RFC 3339, UTC. */
  readonly slot: string;
  /** From the volume and the slot alone: whoever takes it twice takes it once. */
  readonly name: string;
}

export interface SnapshotPlan {
  readonly due: readonly DueSnapshot[];
  /** Ids of scheduled snapshots beyond what is to stay. */
  readonly expired: readonly string[];
  /** When something is due next; Infinity without any schedule. */
  readonly nextMs: number;
}

interface Cluster {
  readonly volumes: ReadonlyMap<string, VolumeRecord>;
  readonly policies: Policies;
}

/**
 * What is to be taken and deleted now. Of the slots that passed while nobody
 * took snapshots only the last is made up for: the others' moments are gone.
 */
export function planSnapshots(cluster: Cluster, nowMs: number): SnapshotPlan {
  const due: DueSnapshot[] = [];
  const expired: string[] = [];
  let nextMs = Infinity;
  let taken: Map<string, VolumeRecord[]> | undefined;
  for (const record of cluster.volumes.values()) {
    if (record.readOnly || record.lifecycle !== 'ready') continue;
    const { rules, sinceMs } = scheduleOf(cluster, record);
    if (rules.length === 0) continue;
    taken ??= snapshotsByParent(cluster);
    for (const rule of rules) {
      nextMs = Math.min(nextMs, rule.next(nowMs));
      const slotMs = rule.latest(nowMs);
      const last = record.scheduledSlots?.[rule.kind];
      const lastMs = Math.max(sinceMs, last === undefined ? 0 : Date.parse(last));
      if (slotMs > lastMs) due.push(dueSnapshot(record, rule.kind, slotMs));
      expired.push(...beyond(rule, record, taken.get(record.id) ?? []));
    }
  }
  return { due, expired, nextMs };
}

/** The rules of a volume's snapshots, and since when they count. */
function scheduleOf(
  { policies }: Cluster,
  record: VolumeRecord,
): { rules: SlotRule[]; sinceMs: number } {
  const entry = governing(policies, record);
  const ofPolicy = entry?.policy.snapshotSchedule;
  const own = record.spec.snapshotSchedule ?? '';
  if (own === '' && ofPolicy === undefined) return { rules: [], sinceMs: 0 };
  const createdMs = Date.parse(record.createdAt);
  const policyMs = ofPolicy === undefined ? 0 : Date.parse(entry?.scheduleSince ?? '') || 0;
  return {
    rules: slotRules(mergedSchedule(own, ofPolicy)),
    sinceMs: Math.max(createdMs, policyMs),
  };
}

function dueSnapshot(record: VolumeRecord, kind: ScheduleKind, slotMs: number): DueSnapshot {
  const slot = new Date(slotMs).toISOString();
  return { volumeId: record.id, kind, slot, name: snapshotName(record, kind, slot) };
}

/** Names have at most 255 characters; the start of the id keeps volumes of one name apart. */
function snapshotName(record: VolumeRecord, kind: string, slot: string): string {
  const moment = slot.replace(/[-:]|\.000/g, '');
  return `${record.name.slice(0, 200)}-${record.id.slice(0, 8)}-${kind}-${moment}`;
}

function snapshotsByParent({ volumes }: Cluster): Map<string, VolumeRecord[]> {
  const byParent = new Map<string, VolumeRecord[]>();
  for (const record of volumes.values()) {
    if (!record.readOnly || record.lifecycle !== 'ready') continue;
    const siblings = byParent.get(record.parentId);
    if (siblings === undefined) byParent.set(record.parentId, [record]);
    else siblings.push(record);
  }
  return byParent;
}

/** The oldest of its kind; never what a person took, or keeps by making it sticky. */
function beyond(
  rule: SlotRule,
  record: VolumeRecord,
  snapshots: readonly VolumeRecord[],
): string[] {
  const ours = snapshots.filter(({ name, spec }) => {
    const slot = spec.labels[slotLabel] ?? '';
    const isOurs = spec.labels[kindLabel] === rule.kind;
    return isOurs && !spec.sticky && name === snapshotName(record, rule.kind, slot);
  });
  const slotOf = ({ spec }: VolumeRecord): string => spec.labels[slotLabel] ?? '';
  return ours
    .sort((a, b) => (slotOf(a) > slotOf(b) ? -1 : 1))
    .slice(rule.retain)
    .map(({ id }) => id);
}
