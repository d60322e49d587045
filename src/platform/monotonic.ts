/** Milliseconds that never go back: deadlines and leases are counted on them. */
export function monotonicMs(): number {
  return performance.now();
}

export function delay(delayMs: number): Promise<void> {
  return new Promise((resolve) => setTimeout(resolve, delayMs));
}
