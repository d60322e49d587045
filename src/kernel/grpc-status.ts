import type { ErrorCode } from './errors.js';

/**
 * The one place where error codes become gRPC statuses.
 * The numbers are those of the gRPC specification (google.rpc.Code).
 */
export const grpcStatusOf: Readonly<Record<ErrorCode, number>> = {
  invalid_argument: 3,
  deadline_exceeded: 4,
  not_found: 5,
  already_exists: 6,
  permission_denied: 7,
  resource_exhausted: 8,
  failed_precondition: 9,
  device_in_use: 9,
  fenced: 9,
  aborted: 10,
  out_of_range: 11,
  unimplemented: 12,
  internal: 13,
  io_error: 13,
  unavailable: 14,
  kvdb_unavailable: 14,
};
