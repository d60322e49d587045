import { formatSchedule, parseSchedule } from './snapshot-schedule.js';

describe('snapshot schedules as text', () => {
  test.each([
    ['', {}, ''],
    ['periodic=60,10', { interval: { intervalMinutes: 60, retain: 10 } }, 'periodic=60,10'],
    ['periodic=15', { interval: { intervalMinutes: 15, retain: 5 } }, 'periodic=15,5'],
    ['daily=9:05', { daily: { time: '09:05', retain: 7 } }, 'daily=09:05,7'],
    [
      'weekly=Sunday@12:00,2',
      { weekly: { day: 'sunday', time: '12:00', retain: 2 } },
      'weekly=sunday@12:00,2',
    ],
    [
      'monthly=31@23:59',
      { monthly: { date: 31, time: '23:59', retain: 12 } },
      'monthly=31@23:59,12',
    ],
    [
      ' daily=12:00,4 ; periodic=60,10;',
      { daily: { time: '12:00', retain: 4 }, interval: { intervalMinutes: 60, retain: 10 } },
      'periodic=60,10;daily=12:00,4',
    ],
  ])('"%s"', (text, schedule, canonical) => {
    expect(parseSchedule('s', text)).toEqual(schedule);
    expect(formatSchedule(parseSchedule('s', text))).toBe(canonical);
    expect(formatSchedule(parseSchedule('s', canonical))).toBe(canonical);
  });

  test.each([
    ['hourly=1', /periodic=MINUTES/],
    ['periodic=0', /1 to/],
    ['periodic=60,0', /1 to 1000/],
    ['periodic=60;periodic=30', /only once/],
    ['daily=24:00', /HH:MM, UTC/],
    ['daily=noon', /HH:MM, UTC/],
    ['weekly=12:00', /DAY@HH:MM/],
    ['weekly=someday@12:00', /sunday/],
    ['monthly=32@12:00', /1 to 31/],
  ])('refuses "%s" and says what is right', (text, message) => {
    expect(() => parseSchedule('snap_schedule', text)).toThrow(/^snap_schedule: /);
    expect(() => parseSchedule('snap_schedule', text)).toThrow(message);
  });
});
