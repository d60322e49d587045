import type { AttachedVolumeStatus } from './api.js';

interface Waiter {
  readonly volumeId: string;
  readonly done: (status: AttachedVolumeStatus) => void;
}

/** Those who wait until a volume is served, or can't be. */
export class PhaseWaiters {
  private waiters: Waiter[] = [];
  private readonly latest = new Map<string, AttachedVolumeStatus>();

  onState(status: AttachedVolumeStatus): void {
    this.latest.set(status.volumeId, status);
    if (status.phase !== 'serving' && status.phase !== 'fenced') return;
    const reached = this.waiters.filter(({ volumeId }) => volumeId === status.volumeId);
    this.waiters = this.waiters.filter((waiter) => !reached.includes(waiter));
    for (const { done } of reached) done(status);
  }

  drop(volumeId: string): void {
    this.latest.delete(volumeId);
  }

  /** The state that was reached, or the latest one when the time is over. `now`: as asked just before. */
  wait(now: AttachedVolumeStatus, timeoutMs: number): Promise<AttachedVolumeStatus> {
    const { volumeId } = now;
    const known = this.latest.get(volumeId);
    if (known?.phase === 'serving' && known.epoch === now.epoch) return Promise.resolve(known);
    return new Promise((resolve) => {
      const waiter: Waiter = {
        volumeId,
        done: (status) => {
          clearTimeout(timer);
          resolve(status);
        },
      };
      const timer = setTimeout(() => {
        this.waiters = this.waiters.filter((other) => other !== waiter);
        resolve(this.latest.get(volumeId) ?? now);
      }, timeoutMs);
      this.waiters.push(waiter);
    });
  }
}
