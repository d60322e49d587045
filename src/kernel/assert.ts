/**
 * An assertion that stays on in production: a process that finds itself in an
 * impossible state must end rather than acknowledge a doubtful write.
 */
export function assert(condition: boolean, message: string): asserts condition {
  if (!condition) throw new AssertionError(message);
}

export class AssertionError extends Error {
  constructor(message: string) {
    super(`assertion failed: ${message}`);
    this.name = 'AssertionError';
  }
}

/** A byte offset or length that JavaScript represents exactly. */
export function assertSafeBytes(value: number, what: string): void {
  assert(Number.isSafeInteger(value) && value >= 0, `${what} is not a safe byte count: ${value}`);
}
