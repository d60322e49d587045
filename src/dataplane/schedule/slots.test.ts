import fc from 'fast-check';
import { parseSchedule } from '../../kernel/snapshot-schedule.js';
import { mergedSchedule, slotRules } from './slots.js';

const rulesOf = (text: string) => slotRules(parseSchedule('s', text));
const iso = (ms: number) => new Date(ms).toISOString().slice(0, 16);

describe('slotRules', () => {
  // 2026-11-22 is a Sunday.
  test.each([
    ['periodic=60', '2026-11-22T00:59:59', '2026-11-22T00:00', '2026-11-22T01:00'],
    ['periodic=60', '2026-11-22T01:00:00', '2026-11-22T01:00', '2026-11-22T02:00'],
    ['periodic=7', '1970-01-01T00:20:00', '1970-01-01T00:14', '1970-01-01T00:21'],
    ['daily=12:00', '2026-11-22T11:59:59', '2026-11-21T12:00', '2026-11-22T12:00'],
    ['daily=12:00', '2026-11-22T12:00:00', '2026-11-22T12:00', '2026-11-23T12:00'],
    ['weekly=sunday@12:00', '2026-11-22T12:00:00', '2026-11-22T12:00', '2026-11-29T12:00'],
    ['weekly=saturday@12:00', '2026-11-22T12:00:00', '2026-11-21T12:00', '2026-11-28T12:00'],
    ['weekly=monday@00:30', '2026-11-22T12:00:00', '2026-11-16T00:30', '2026-11-23T00:30'],
    ['monthly=15@06:00', '2026-11-22T12:00:00', '2026-11-15T06:00', '2026-12-15T06:00'],
    ['monthly=31@06:00', '2026-11-22T12:00:00', '2026-10-31T06:00', '2026-11-30T06:00'],
    ['monthly=31@06:00', '2028-02-29T07:00:00', '2028-02-29T06:00', '2028-03-31T06:00'],
    ['monthly=1@00:00', '2026-01-01T00:00:00', '2026-01-01T00:00', '2026-02-01T00:00'],
    ['monthly=2@00:00', '2026-01-01T00:00:00', '2025-12-02T00:00', '2026-01-02T00:00'],
  ])('%s at %s', (text, now, latest, next) => {
    const [rule] = rulesOf(text);
    const nowMs = Date.parse(`${now}Z`);
    expect(iso(rule?.latest(nowMs) ?? 0)).toBe(latest);
    expect(iso(rule?.next(nowMs) ?? 0)).toBe(next);
  });

  const seed = Number(process.env['PX_SEED'] ?? Date.now() % 2 ** 31);

  it(`has no gap and no overlap: the next slot is the latest of its own moment (seed ${seed})`, () => {
    const texts = ['periodic=45', 'daily=23:30', 'weekly=wednesday@00:00', 'monthly=30@12:00'];
    const moment = fc.integer({ min: 0, max: 4_102_444_800_000 });
    const property = fc.property(fc.constantFrom(...texts), moment, (text, nowMs) => {
      const [rule] = rulesOf(text);
      if (rule === undefined) throw new Error('no rule');
      const next = rule.next(nowMs);
      expect(rule.latest(nowMs)).toBeLessThanOrEqual(nowMs);
      expect(next).toBeGreaterThan(nowMs);
      expect(rule.latest(next)).toBe(next);
      expect(rule.latest(next - 1)).toBe(rule.latest(nowMs));
    });
    fc.assert(property, { seed, numRuns: 500 });
  });

  it("lets the policy's word count for a kind, and the volume's own for the others", () => {
    expect(mergedSchedule('periodic=60,2;daily=12:00,2', { daily: { time: '06:00' } })).toEqual({
      interval: { intervalMinutes: 60, retain: 2 },
      daily: { time: '06:00' },
    });
  });
});
