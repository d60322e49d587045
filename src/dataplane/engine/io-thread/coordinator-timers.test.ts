import { CoordinatorTimers, type Timed } from './coordinator-timers.js';
import { MachineClock } from './thread-clock.js';

class FakeTimed implements Timed {
  deadline = Infinity;
  asked = 0;
  ticks = 0;
  nextDeadline(): number {
    this.asked++;
    return this.deadline;
  }
  tick(): void {
    this.ticks++;
    this.deadline = Infinity;
  }
}

describe('CoordinatorTimers', () => {
  const clock = new MachineClock();

  it('asks a coordinator again only when something happened to it', () => {
    const timers = new CoordinatorTimers(clock);
    const [busy, idle] = [new FakeTimed(), new FakeTimed()];
    const entry = timers.add(busy);
    timers.add(idle);
    idle.deadline = clock.now() + 60_000;
    expect(timers.nextDeadline()).toBeCloseTo(idle.deadline - clock.offsetMs, 3);
    busy.deadline = clock.now() + 30_000;
    entry.stale = true;
    expect(timers.nextDeadline()).toBeCloseTo(busy.deadline - clock.offsetMs, 3);
    expect([busy.asked, idle.asked]).toEqual([2, 1]);
  });

  it('ticks those that are due, and forgets those that were removed', () => {
    const timers = new CoordinatorTimers(clock);
    const [due, later, gone] = [new FakeTimed(), new FakeTimed(), new FakeTimed()];
    due.deadline = clock.now() - 1;
    later.deadline = clock.now() + 60_000;
    gone.deadline = clock.now() - 1;
    timers.add(due);
    timers.add(later);
    timers.remove(timers.add(gone));
    expect(timers.nextDeadline()).toBeLessThan(performance.now());
    timers.tick();
    expect([due.ticks, later.ticks, gone.ticks]).toEqual([1, 0, 0]);
    expect(timers.nextDeadline()).toBeGreaterThan(performance.now());
  });

  it('counts on the clock of the machine, which every process reads alike', () => {
    const machine = (): number => Number(process.hrtime.bigint()) / 1e6;
    const before = machine();
    const now = clock.now();
    expect(now).toBeGreaterThan(before - 1);
    expect(now).toBeLessThan(machine() + 1);
  });
});
