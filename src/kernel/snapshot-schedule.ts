import { PxError } from './errors.js';
import type { SnapshotSchedule, Weekday } from './storage-policy.js';

/**
 * Snapshot schedules as text: `periodic=60,10;daily=12:00,4;weekly=sunday@12:00,2;monthly=15@12:00`.
 * Times are UTC; the number after the comma is how many snapshots stay.
 */
export type ScheduleKind = 'periodic' | 'daily' | 'weekly' | 'monthly';

/** How many snapshots of a kind stay when nothing is said. */
export const defaultRetain: Readonly<Record<ScheduleKind, number>> = {
  periodic: 5,
  daily: 7,
  weekly: 5,
  monthly: 12,
};

export const maxRetain = 1000;
/** A year: a longer interval is certainly a slip of the pen. */
export const maxIntervalMinutes = 525_600;

export const weekdays: readonly Weekday[] = [
  'sunday',
  'monday',
  'tuesday',
  'wednesday',
  'thursday',
  'friday',
  'saturday',
];

/** '' is no schedule. `field` is how the caller calls it in its refusals. */
export function parseSchedule(field: string, text: string): SnapshotSchedule {
  const schedule: { -readonly [K in keyof SnapshotSchedule]: SnapshotSchedule[K] } = {};
  for (const part of text.split(';').map((piece) => piece.trim())) {
    if (part === '') continue;
    const match = /^(periodic|daily|weekly|monthly)=([^,]+?)(?:,(.+))?$/i.exec(part);
    const kind = match?.[1]?.toLowerCase() as ScheduleKind | undefined;
    if (match === null || kind === undefined) {
      throw bad(
        field,
        part,
        'periodic=MINUTES, daily=HH:MM, weekly=DAY@HH:MM or monthly=DATE@HH:MM',
      );
    }
    const key = kind === 'periodic' ? 'interval' : kind;
    if (schedule[key] !== undefined) throw bad(field, part, `${kind} only once`);
    const when = (match[2] ?? '').trim();
    const retain =
      match[3] === undefined ? defaultRetain[kind] : number(field, match[3], 1, maxRetain);
    if (kind === 'periodic') {
      const intervalMinutes = number(field, when, 1, maxIntervalMinutes);
      schedule.interval = { intervalMinutes, retain };
    } else if (kind === 'daily') {
      schedule.daily = { time: timeOfDay(field, when), retain };
    } else {
      const at = when.indexOf('@');
      if (at < 0) throw bad(field, part, `${kind} as DAY@HH:MM or DATE@HH:MM`);
      const [day, time] = [when.slice(0, at).trim(), timeOfDay(field, when.slice(at + 1).trim())];
      if (kind === 'weekly') schedule.weekly = { day: weekday(field, day), time, retain };
      else schedule.monthly = { date: number(field, day, 1, 31), time, retain };
    }
  }
  return schedule;
}

/** One text for each schedule, whatever order and spacing it was written with; '' for none. */
export function formatSchedule(schedule: SnapshotSchedule): string {
  const { interval, daily, weekly, monthly } = schedule;
  const parts: string[] = [];
  if (interval !== undefined) {
    parts.push(`periodic=${interval.intervalMinutes},${interval.retain ?? defaultRetain.periodic}`);
  }
  if (daily !== undefined) parts.push(`daily=${daily.time},${daily.retain ?? defaultRetain.daily}`);
  if (weekly !== undefined) {
    parts.push(`weekly=${weekly.day}@${weekly.time},${weekly.retain ?? defaultRetain.weekly}`);
  }
  if (monthly !== undefined) {
    parts.push(
      `monthly=${monthly.date}@${monthly.time},${monthly.retain ?? defaultRetain.monthly}`,
    );
  }
  return parts.join(';');
}

function timeOfDay(field: string, text: string): string {
  const match = /^(\d{1,2}):(\d{2})$/.exec(text);
  const [hour, minute] = [Number(match?.[1] ?? NaN), Number(match?.[2] ?? NaN)];
  if (!(hour <= 23 && minute <= 59)) throw bad(field, text, 'a time of day as HH:MM, UTC');
  return `${String(hour).padStart(2, '0')}:${String(minute).padStart(2, '0')}`;
}

function weekday(field: string, text: string): Weekday {
  const found = weekdays.find((day) => day === text.toLowerCase());
  if (found === undefined) throw bad(field, text, weekdays.join(', '));
  return found;
}

function number(field: string, text: string, least: number, most: number): number {
  const value = /^\d{1,9}$/.test(text.trim()) ? Number(text) : NaN;
  if (value >= least && value <= most) return value;
  throw bad(field, text, `a whole number from ${least} to ${most}`);
}

function bad(field: string, text: string, allowed: string): PxError {
  return new PxError('invalid_argument', `${field}: "${text}" is not right; allowed: ${allowed}`, {
    field,
  });
}
