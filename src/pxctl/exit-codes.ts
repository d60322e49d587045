import type { ErrorCode, PxError } from '../kernel/errors.js';

/** What scripts may rely on. 1 is every failure without a number of its own. */
export const exitCodes: Readonly<Partial<Record<ErrorCode, number>>> = {
  invalid_argument: 2,
  out_of_range: 2,
  not_found: 3,
  already_exists: 4,
  failed_precondition: 5,
  device_in_use: 5,
  fenced: 5,
  resource_exhausted: 6,
  unavailable: 7,
  kvdb_unavailable: 7,
  deadline_exceeded: 7,
  aborted: 8,
  unimplemented: 9,
};

export function exitCodeOf(error: PxError): number {
  return exitCodes[error.code] ?? 1;
}

const advice: Readonly<Partial<Record<ErrorCode, string>>> = {
  not_found: '"pxctl volume list" shows what there is',
  unavailable: 'is px-node running on this node? give its socket with --endpoint',
  kvdb_unavailable:
    'the key-value store does not answer; attached volumes go on, try again when it is back',
  deadline_exceeded: 'it may still be at work; look with "pxctl volume inspect", then try again',
  resource_exhausted: '"pxctl status" shows the nodes and their space',
  aborted: 'another operation is at work on it; try again in a moment',
};

/** One line: what is wrong, and what to do about it. */
export function describe(error: PxError): string {
  const hint = advice[error.code];
  const message = error.message.replaceAll('\n', ' ');
  return hint === undefined ? message : `${message} (${hint})`;
}
