import { setTimeout as delay } from 'node:timers/promises';

/** Thrown by a probe that knows that waiting longer is in vain. */
export class GiveUp extends Error {}

/**
 * Asks until the answer is not `undefined`, at a pace of `intervalMs`: for
 * conditions of other processes that have no event to wait on.
 */
export async function waitFor<T>(
  what: string,
  timeoutMs: number,
  probe: () => Promise<T | undefined> | T | undefined,
  intervalMs = 100,
): Promise<T> {
  const deadline = performance.now() + timeoutMs;
  let lastError: unknown;
  for (;;) {
    try {
      const answer = await probe();
      if (answer !== undefined) return answer;
      lastError = undefined;
    } catch (error) {
      if (error instanceof GiveUp) throw error;
      lastError = error;
    }
    if (performance.now() >= deadline) {
      const detail = lastError instanceof Error ? `: ${lastError.message}` : '';
      throw new Error(`no ${what} after ${timeoutMs} ms${detail}`);
    }
    await delay(intervalMs);
  }
}
