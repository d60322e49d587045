import type { IoLimits } from '../../../kernel/volume-record.js';
import { OpKind, type SlotTable } from '../../protocol/ops.js';
import { IoThrottle } from './io-throttle.js';

/** A throttle under a clock that jumps from deadline to deadline, as the loop's timer does. */
class Rig {
  now = 1000;
  readonly forwarded: { slot: number; at: number }[] = [];
  readonly throttle: IoThrottle;
  private readonly slots: SlotTable;
  private used = 0;

  constructor(limits: IoLimits, capacity = 4096) {
    this.slots = {
      capacity,
      kind: new Uint8Array(capacity),
      offset: new Float64Array(capacity),
      length: new Float64Array(capacity),
      seq: new Float64Array(capacity),
      address: () => 0,
      acquire: () => 0,
      release: () => undefined,
    };
    this.throttle = new IoThrottle(this.slots, (slot) => this.note(slot), limits);
  }

  submit(kind: number, length = 4096): number {
    const slot = this.used++;
    this.slots.kind[slot] = kind;
    this.slots.length[slot] = length;
    if (this.throttle.admit(slot, this.now)) this.note(slot);
    return slot;
  }

  /** Runs until nothing is due any more before the moment. */
  until(moment: number): void {
    for (;;) {
      const deadline = this.throttle.nextDeadline();
      if (deadline > moment) break;
      this.now = Math.max(this.now, deadline);
      this.throttle.tick(this.now);
    }
    this.now = moment;
  }

  private note(slot: number): void {
    this.forwarded.push({ slot, at: this.now });
  }
}

describe('IoThrottle', () => {
  test.each<[string, IoLimits, number, number, number]>([
    ['reads a second', { readIops: 100 }, OpKind.read, 4096, 100],
    ['writes a second', { writeIops: 250 }, OpKind.write, 65536, 250],
    ['discards are writes', { writeIops: 250 }, OpKind.zero, 2 ** 30, 250],
    ['bytes read a second', { readBytesPerSecond: 409_600 }, OpKind.read, 4096, 100],
    ['bytes written a second', { writeBytesPerSecond: 2 ** 20 }, OpKind.write, 65536, 16],
  ])('%s', (_what, limits, kind, length, perSecond) => {
    const rig = new Rig(limits);
    const seconds = 4;
    for (let index = 0; index < perSecond * seconds * 2; index++) rig.submit(kind, length);
    rig.until(1000 + seconds * 1000);
    const expected = perSecond * seconds;
    // A burst at the start, and one more that is under way at the end.
    expect(rig.forwarded.length).toBeGreaterThanOrEqual(expected);
    expect(rig.forwarded.length).toBeLessThanOrEqual(expected + Math.ceil(perSecond * 0.05) + 1);
    expect(rig.throttle.delayed).toBe(perSecond * seconds * 2 - rig.forwarded.length);
  });

  it('keeps the order of a direction, and lets the other and flushes pass', () => {
    const rig = new Rig({ writeIops: 10 });
    const writes = [0, 1, 2, 3].map(() => rig.submit(OpKind.write));
    const read = rig.submit(OpKind.read);
    const flush = rig.submit(OpKind.flush);
    expect(rig.forwarded.map(({ slot }) => slot)).toEqual([writes[0], read, flush]);
    rig.until(10_000);
    const order = rig.forwarded.map(({ slot }) => slot).filter((slot) => writes.includes(slot));
    expect(order).toEqual(writes);
    expect(rig.throttle.nextDeadline()).toBe(Infinity);
  });

  it('lets one request pass that is larger than what a second allows, and is paid for', () => {
    const rig = new Rig({ writeBytesPerSecond: 64 * 1024 });
    rig.submit(OpKind.write, 2 ** 20);
    rig.submit(OpKind.write, 4096);
    rig.until(16_000);
    expect(rig.forwarded).toHaveLength(1);
    rig.until(18_000);
    expect(rig.forwarded).toHaveLength(2);
  });

  it('saves nothing up while nothing is asked', () => {
    const rig = new Rig({ readIops: 100 });
    rig.until(60_000);
    for (let index = 0; index < 100; index++) rig.submit(OpKind.read);
    expect(rig.forwarded.length).toBeLessThanOrEqual(6);
  });

  it('changes its pace while requests wait, and lets all go without limits', () => {
    const rig = new Rig({ readIops: 1, writeIops: 1 });
    for (let index = 0; index < 200; index++) rig.submit(OpKind.read);
    rig.until(2_000);
    const before = rig.forwarded.length;
    rig.throttle.setLimits({ readIops: 100 });
    rig.until(3_000);
    expect(rig.forwarded.length - before).toBeGreaterThanOrEqual(100);
    expect(rig.forwarded.length - before).toBeLessThanOrEqual(107);
    rig.throttle.setLimits({});
    rig.throttle.tick(rig.now);
    expect(rig.forwarded).toHaveLength(200);
    expect(rig.throttle.delayed).toBe(0);
    // Said again, the same limits forgive no debt.
    rig.throttle.setLimits({ writeIops: 1 });
    rig.submit(OpKind.write);
    rig.throttle.setLimits({ writeIops: 1 });
    rig.submit(OpKind.write);
    expect(rig.throttle.delayed).toBe(1);
  });
});
