import { PxError } from '../kernel/errors.js';

/**
 * One call at a time on a volume. A second one is told ABORTED, as CSI asks,
 * but only while the first is truly at work: the lock lives exactly as long as
 * the first call's promise, and every step of a call has a time bound.
 */
export class VolumeLocks {
  private readonly held = new Map<string, { operation: string; sinceMs: number }>();

  async run<T>(volume: string, operation: string, work: () => Promise<T>): Promise<T> {
    const holder = this.held.get(volume);
    if (holder !== undefined) {
      const seconds = Math.round((performance.now() - holder.sinceMs) / 1000);
      throw new PxError(
        'aborted',
        `${holder.operation} is at work on volume "${volume}" for ${seconds} s; try again`,
        { volume, operation: holder.operation },
      );
    }
    this.held.set(volume, { operation, sinceMs: performance.now() });
    try {
      return await work();
    } finally {
      this.held.delete(volume);
    }
  }
}
