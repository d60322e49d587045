import {
  defaultRetain,
  parseSchedule,
  weekdays,
  type ScheduleKind,
} from '../../kernel/snapshot-schedule.js';
import type { SnapshotSchedule } from '../../kernel/storage-policy.js';

/** One kind of snapshot of a volume: when, and how many stay. Times are UTC. */
export interface SlotRule {
  readonly kind: ScheduleKind;
  readonly retain: number;
  /** The last slot at or before a moment. Milliseconds since 1970. */
  latest(nowMs: number): number;
  /** The first slot after a moment. */
  next(nowMs: number): number;
}

const minuteMs = 60_000;
const dayMs = 86_400_000;

export function slotRules(schedule: SnapshotSchedule): SlotRule[] {
  const { interval, daily, weekly, monthly } = schedule;
  const rules: SlotRule[] = [];
  if (interval !== undefined) {
    const retain = interval.retain ?? defaultRetain.periodic;
    rules.push({ kind: 'periodic', retain, ...every(interval.intervalMinutes * minuteMs, 0) });
  }
  if (daily !== undefined) {
    const retain = daily.retain ?? defaultRetain.daily;
    rules.push({ kind: 'daily', retain, ...every(dayMs, timeMs(daily.time)) });
  }
  if (weekly !== undefined) {
    const retain = weekly.retain ?? defaultRetain.weekly;
    // 1 January 1970 was a Thursday, the fifth day of a week that begins on Sunday.
    const fromThursday = (weekdays.indexOf(weekly.day) + 3) % 7;
    const offsetMs = fromThursday * dayMs + timeMs(weekly.time);
    rules.push({ kind: 'weekly', retain, ...every(7 * dayMs, offsetMs) });
  }
  if (monthly !== undefined) {
    const retain = monthly.retain ?? defaultRetain.monthly;
    rules.push({ kind: 'monthly', retain, ...eachMonth(monthly.date, timeMs(monthly.time)) });
  }
  return rules;
}

/** For each kind the policy's word counts, else the volume's own. */
export function mergedSchedule(
  ownText: string,
  ofPolicy: SnapshotSchedule | undefined,
): SnapshotSchedule {
  return { ...parseSchedule('snapshot_schedule', ownText), ...ofPolicy };
}

function every(periodMs: number, offsetMs: number): Pick<SlotRule, 'latest' | 'next'> {
  const latest = (nowMs: number) => Math.floor((nowMs - offsetMs) / periodMs) * periodMs + offsetMs;
  return { latest, next: (nowMs) => latest(nowMs) + periodMs };
}

/** In a month that is too short, its last day stands in. */
function eachMonth(date: number, offsetMs: number): Pick<SlotRule, 'latest' | 'next'> {
  const inMonth = (year: number, month: number): number => {
    const lastDay = new Date(Date.UTC(year, month + 1, 0)).getUTCDate();
    return Date.UTC(year, month, Math.min(date, lastDay)) + offsetMs;
  };
  const around = (nowMs: number, step: number): number => {
    const now = new Date(nowMs);
    return inMonth(now.getUTCFullYear(), now.getUTCMonth() + step);
  };
  return {
    latest: (nowMs) => (around(nowMs, 0) <= nowMs ? around(nowMs, 0) : around(nowMs, -1)),
    next: (nowMs) => (around(nowMs, 0) > nowMs ? around(nowMs, 0) : around(nowMs, 1)),
  };
}

function timeMs(time: string): number {
  const [hour = 0, minute = 0] = time.split(':').map(Number);
  return (hour * 60 + minute) * minuteMs;
}
