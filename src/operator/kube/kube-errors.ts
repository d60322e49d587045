import { PxError, type ErrorCode } from '../../kernel/errors.js';
import type { HttpAnswer } from './kube-http.js';

interface Status {
  readonly reason?: string;
  readonly message?: string;
}

/** A `meta/v1` Status, or what a proxy said, as our error; `what` names the call. */
export function kubeError(answer: HttpAnswer, what: string): PxError {
  const { reason, message } = (answer.json ?? {}) as Status;
  const text = message ?? reason ?? 'no reason given';
  return new PxError(codeOf(answer.status, reason), `${what}: ${text}`, {
    status: answer.status,
    ...(reason === undefined ? {} : { reason }),
  });
}

/** The reasons are those of k8s.io/apimachinery's StatusReason. */
function codeOf(status: number, reason: string | undefined): ErrorCode {
  switch (status) {
    case 400:
    case 413:
    case 415:
    case 422:
      return 'invalid_argument';
    case 401:
    case 403:
      return 'permission_denied';
    case 404:
      return 'not_found';
    case 405:
      return 'unimplemented';
    case 409:
      return reason === 'AlreadyExists' ? 'already_exists' : 'aborted';
    case 410:
      return 'out_of_range';
    case 429:
      return 'unavailable';
    default:
      return status >= 500 || status === 0 ? 'unavailable' : 'internal';
  }
}

/** What we asked to go on from is no longer kept: list again. */
export function isGone(error: PxError): boolean {
  return error.fields.status === 410;
}
