import type { ErrorCode } from '../kernel/errors.js';

/** What a script can tell apart; the numbers are part of the command line's contract. */
export const exitCodes = {
  ok: 0,
  failed: 1,
  usage: 2,
  notFound: 3,
  unavailable: 4,
  conflict: 5,
  differs: 6,
} as const;

export type ExitCode = (typeof exitCodes)[keyof typeof exitCodes];

const exitCodeOf: Readonly<Record<ErrorCode, ExitCode>> = {
  invalid_argument: exitCodes.usage,
  out_of_range: exitCodes.usage,
  unimplemented: exitCodes.usage,
  not_found: exitCodes.notFound,
  unavailable: exitCodes.unavailable,
  kvdb_unavailable: exitCodes.unavailable,
  deadline_exceeded: exitCodes.unavailable,
  already_exists: exitCodes.conflict,
  failed_precondition: exitCodes.conflict,
  aborted: exitCodes.conflict,
  fenced: exitCodes.conflict,
  device_in_use: exitCodes.conflict,
  resource_exhausted: exitCodes.failed,
  permission_denied: exitCodes.failed,
  io_error: exitCodes.failed,
  internal: exitCodes.failed,
};

export function exitCodeFor(code: ErrorCode): ExitCode {
  return exitCodeOf[code];
}

export const exitCodesHelp = `
Exit codes:
  0  done
  1  failed
  2  usage: an unknown command, a bad value, or a feature that this release does not have
  3  no such volume, snapshot or node
  4  px-node, a peer or the key-value store does not answer; the same command may work later
  5  the state forbids it: attached, mounted, in use, a name that is taken;
     volume check: not every replica could be compared
  6  volume check: the replicas differ
`;
