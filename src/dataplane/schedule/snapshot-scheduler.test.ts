import type { VolumeRecord } from '../../kernel/volume-record.js';
import { silentLogger } from '../../platform/logger.js';
import type { PolicyEntry } from '../policy/policy-entry.js';
import { testEntry, testRecord } from '../policy/testing-volumes.js';
import { kindLabel, planSnapshots, slotLabel } from './plan-snapshots.js';
import { SnapshotScheduler } from './snapshot-scheduler.js';

/** A cluster whose scheduler lives under a clock that the test moves. */
class Rig {
  readonly volumes = new Map<string, VolumeRecord>();
  readonly policies = new Map<string, PolicyEntry>();
  isLeader = true;
  failing = false;
  takes = 0;
  /** How often the scheduler looked at the cluster. */
  looks = 0;
  private scheduler = this.start();

  add(record: VolumeRecord): void {
    this.volumes.set(record.id, record);
    this.scheduler.wake();
  }

  /** What a node that is killed and another one that takes over do. */
  restart(): void {
    this.scheduler.close();
    this.scheduler = this.start();
    this.scheduler.wake();
  }

  stop(): void {
    this.scheduler.close();
  }

  slots(kind: string): string[] {
    return [...this.volumes.values()]
      .filter(({ readOnly, spec }) => readOnly && spec.labels[kindLabel] === kind)
      .map(({ spec }) => (spec.labels[slotLabel] ?? '').slice(0, 16))
      .sort();
  }

  private start(): SnapshotScheduler {
    return new SnapshotScheduler({
      logger: silentLogger,
      nowMs: () => Date.now(),
      cluster: () => {
        this.looks += 1;
        return this.isLeader ? this : undefined;
      },
      take: async ({ volumeId, kind, slot, name }) => {
        this.takes += 1;
        if (this.failing) throw new Error('down');
        const labels = { [kindLabel]: kind, [slotLabel]: slot };
        const changes = { name, readOnly: true, parentId: volumeId };
        this.volumes.set(name, testRecord(name, ['n1'], { labels }, changes));
        const volume = this.volumes.get(volumeId);
        if (volume === undefined) throw new Error('gone');
        const scheduledSlots = { ...volume.scheduledSlots, [kind]: slot };
        this.volumes.set(volumeId, { ...volume, scheduledSlots });
        this.scheduler.wake();
      },
      remove: async (id) => {
        this.volumes.delete(id);
        this.scheduler.wake();
      },
    });
  }
}

const minuteMs = 60_000;
const start = '2026-11-22T00:10:00.000Z';
let rig: Rig;

beforeEach(() => {
  jest.useFakeTimers({ now: Date.parse(start) });
  rig = new Rig();
});
afterEach(() => {
  rig.stop();
  jest.useRealTimers();
});

const pass = (ms: number) => jest.advanceTimersByTimeAsync(ms);
const volume = (snapshotSchedule: string, changes: Partial<VolumeRecord> = {}) =>
  testRecord('v', ['n1'], { snapshotSchedule }, { createdAt: start, ...changes });

describe('SnapshotScheduler', () => {
  it('takes each slot once, when it comes, and keeps as many as are to stay', async () => {
    rig.add(volume('periodic=30,2;daily=01:00,1'));
    await pass(19 * minuteMs);
    expect(rig.slots('periodic')).toEqual([]);
    await pass(minuteMs + 2_000);
    expect(rig.slots('periodic')).toEqual(['2026-11-22T00:30']);
    await pass(90 * minuteMs);
    expect(rig.slots('periodic')).toEqual(['2026-11-22T01:30', '2026-11-22T02:00']);
    expect(rig.slots('daily')).toEqual(['2026-11-22T01:00']);
    expect(rig.takes).toBe(5);
  });

  it('sleeps between slots, and for ever without a schedule', async () => {
    rig.add(testRecord('quiet', ['n1']));
    await pass(24 * 60 * minuteMs);
    expect(rig.looks).toBe(1);
    rig.add(volume('daily=12:00'));
    await pass(2_000);
    await pass(11 * 60 * minuteMs);
    // At most once an hour, as the clock may be set.
    expect(rig.looks).toBeLessThan(16);
  });

  it('makes up for the last of the slots that were missed, and for that once', async () => {
    rig.add(volume('periodic=30,9'));
    rig.isLeader = false;
    await pass(5 * 60 * minuteMs);
    rig.isLeader = true;
    rig.restart();
    await pass(5_000);
    expect(rig.slots('periodic')).toEqual(['2026-11-22T05:00']);
    rig.restart();
    await pass(5_000);
    expect(rig.takes).toBe(1);
  });

  it('does not take again what a person deleted, nor delete what it did not take', async () => {
    rig.add(volume('periodic=30,1'));
    const labels = { [kindLabel]: 'periodic', [slotLabel]: '2020-01-01T00:00:00.000Z' };
    const own = { readOnly: true, parentId: 'v' };
    rig.add(testRecord('mine', ['n1'], {}, own));
    rig.add(testRecord('forged', ['n1'], { labels }, own));
    await pass(21 * minuteMs);
    expect(rig.slots('periodic')).toContain('2026-11-22T00:30');
    for (const [id, { spec }] of rig.volumes) {
      if (spec.labels[slotLabel]?.startsWith('2026') === true) rig.volumes.delete(id);
    }
    rig.restart();
    await pass(10_000);
    expect(rig.takes).toBe(1);
    expect([...rig.volumes.keys()].sort()).toEqual(['forged', 'mine', 'v']);
  });

  it('tries again once a minute while a volume is down, and takes one in the end', async () => {
    rig.add(volume('periodic=30,5'));
    rig.failing = true;
    await pass(35 * minuteMs);
    expect(rig.takes).toBeGreaterThan(10);
    expect(rig.takes).toBeLessThan(20);
    rig.failing = false;
    await pass(2 * minuteMs);
    expect(rig.slots('periodic')).toEqual(['2026-11-22T00:30']);
  });
});

describe('planSnapshots', () => {
  const nowMs = Date.parse('2026-11-22T12:30:00Z');
  const planFor = (record: VolumeRecord, ...policies: PolicyEntry[]) =>
    planSnapshots(
      {
        volumes: new Map([[record.id, record]]),
        policies: new Map(policies.map((entry) => [entry.name, entry])),
      },
      nowMs,
    );

  it('follows the policy that governs, from when it had this schedule', () => {
    const entry = testEntry('p', { default: true, snapshotSchedule: { daily: { time: '12:00' } } });
    const old = testRecord('v', ['n1']);
    expect(planFor(old, entry).due).toEqual([
      {
        volumeId: 'v',
        kind: 'daily',
        slot: '2026-11-22T12:00:00.000Z',
        name: 'name-v-v-daily-20261122T120000Z',
      },
    ]);
    const fresh = { ...entry, scheduleSince: '2026-11-22T12:15:00.000Z' };
    expect(planFor(old, fresh)).toEqual({
      due: [],
      expired: [],
      nextMs: Date.parse('2026-11-23T12:00:00Z'),
    });
  });

  it('leaves snapshots and half-made volumes alone', () => {
    const quiet = { due: [], expired: [], nextMs: Infinity };
    const daily = { snapshotSchedule: 'daily=12:00,7' };
    expect(planFor(testRecord('v', ['n1'], daily, { readOnly: true }))).toEqual(quiet);
    expect(planFor(testRecord('v', ['n1'], daily, { lifecycle: 'creating' }))).toEqual(quiet);
    expect(planFor(testRecord('v', ['n1']))).toEqual(quiet);
  });

  it('keeps names of any length apart', () => {
    const long = testRecord('0123456789', ['n1'], { snapshotSchedule: 'daily=12:00' });
    const [due] = planFor({ ...long, name: 'x'.repeat(255) }).due;
    expect(due?.name).toMatch(/^x{200}-01234567-daily-20261122T120000Z$/);
  });
});
