import { PxError, type ErrorCode } from '../kernel/errors.js';

/** What to do about an error that does not say it itself. */
const adviceOf: Readonly<Partial<Record<ErrorCode, string>>> = {
  not_found: 'see what there is with "pxctl volume list --all" and "pxctl cluster list"',
  already_exists: 'choose another name, or delete the other one first',
  aborted: 'wait for it to end and try again',
  resource_exhausted: 'see "pxctl cluster list" and "pxctl service pool show" for what is free',
  kvdb_unavailable: 'nothing was changed; try again when the key-value store answers',
  unavailable: 'see "pxctl cluster list" for nodes that are down, and try again',
  deadline_exceeded: 'it may still be at work: look before trying again, or give more --timeout',
  fenced: 'the volume was taken over; see "pxctl volume inspect"',
  permission_denied: 'run it as root',
  internal: 'see the log of px-node on the node',
  io_error: 'see the log of px-node on the node',
};

/** One line: what is wrong and what to do. */
export function errorLine(error: PxError, endpoint: string): string {
  const message = error.message
    .replace(/\s*\n\s*/g, ' ')
    // What grpc-js wraps around the reason why it got no connection.
    .replace(/No connection established\. Last error: (Error: )?/, '')
    .replace(/\.? *Resolution note:.*$/, '')
    .trim();
  const advice = adviceFor(error, endpoint);
  return advice === undefined ? `pxctl: ${message}` : `pxctl: ${message} (${advice})`;
}

function adviceFor(error: PxError, endpoint: string): string | undefined {
  if (error.code === 'unavailable' && error.message.includes(`px-node at ${endpoint}`)) {
    return 'start px-node on this node, or name another with --endpoint or PXCTL_ENDPOINT';
  }
  // A program that pxctl ran itself; px-node knows nothing of it.
  if (error.fields.exitCode !== undefined) return undefined;
  return adviceOf[error.code];
}

export function usageError(message: string): PxError {
  return new PxError('invalid_argument', message);
}
