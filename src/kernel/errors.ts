/**
 * The closed set of errors that px reports.
 *
 * Every layer throws `PxError` with one of these codes; the mapping to gRPC
 * statuses stands once, in `src/kernel/grpc-status.ts`. Source: the set is ours;
 * the meanings follow the CSI specification's error scheme.
 */
export const errorCodes = [
  'invalid_argument',
  'not_found',
  'already_exists',
  'out_of_range',
  /** The request is right but the object's state forbids it (attached, sticky…). */
  'failed_precondition',
  /** Another operation on the same object is truly at work; try again. */
  'aborted',
  /** No pool, node or zone can hold what was asked. */
  'resource_exhausted',
  /** The key-value store does not answer; nothing was decided. */
  'kvdb_unavailable',
  /** A peer or the engine does not answer. */
  'unavailable',
  /** A newer epoch exists: this coordinator or daemon must stop. */
  'fenced',
  /** The device holds something that is not ours. */
  'device_in_use',
  'deadline_exceeded',
  'unimplemented',
  'permission_denied',
  'io_error',
  'internal',
] as const;

export type ErrorCode = (typeof errorCodes)[number];

export type ErrorFields = Readonly<Record<string, string | number | boolean | readonly string[]>>;

export class PxError extends Error {
  readonly code: ErrorCode;
  readonly fields: ErrorFields;

  constructor(code: ErrorCode, message: string, fields: ErrorFields = {}, cause?: unknown) {
    super(message, cause === undefined ? undefined : { cause });
    this.name = 'PxError';
    this.code = code;
    this.fields = fields;
  }
}

/** Narrows an unknown thrown value; anything foreign becomes `internal`. */
export function toPxError(thrown: unknown): PxError {
  if (thrown instanceof PxError) return thrown;
  const message = thrown instanceof Error ? thrown.message : String(thrown);
  return new PxError('internal', message, {}, thrown);
}
