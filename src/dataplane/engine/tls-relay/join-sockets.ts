import type { Socket } from 'node:net';

export interface JoinOptions {
  readonly stallTimeoutMs: number;
  /** The remote side broke or ended before it had said a byte; `local` is left to the callee. */
  onSilent(reason: string): void;
}

/** How long one direction may stay open after the other has ended. */
const lingerMs = 5_000;

/**
 * Carries the bytes of two sockets to each other until both have ended. A pipe
 * reads on only while the other side takes, so neither buffer grows beyond its
 * high-water mark; an end is passed on as an end, anything else as a break.
 */
export function joinSockets(local: Socket, remote: Socket, options: JoinOptions): void {
  let heard = false;
  let told = false;
  let failure = '';
  const silent = (reason: string): void => {
    if (told) return;
    told = true;
    remote.destroy();
    options.onSilent(reason);
  };
  remote.once('data', () => (heard = true));
  for (const [from, to] of [
    [local, remote],
    [remote, local],
  ] as const) {
    from.on('error', (error) => (failure ||= error.message));
    from.on('close', () => {
      if (from.readableEnded && from.writableFinished) return;
      // A side that broke cannot end the other: that would look like an end of the stream.
      if (from === remote && !heard && !local.destroyed) silent(failure || 'it closed unanswered');
      else to.destroy();
    });
    from.setTimeout(options.stallTimeoutMs, () => {
      // Silence is the protocol's affair; data that nobody takes is a dead peer.
      if (from.writableLength > 0) from.destroy(new Error('it takes nothing any more'));
    });
  }
  local.on('end', () => linger(remote, local));
  remote.on('end', () => {
    if (!heard) silent(failure || 'it closed unanswered');
    else linger(local, remote);
  });
  local.pipe(remote);
  remote.pipe(local, { end: false });
  remote.on('end', () => {
    if (heard) local.end();
  });
}

/** No peer waits on a half-closed connection for ever. */
function linger(left: Socket, right: Socket): void {
  const timer = setTimeout(() => {
    left.destroy();
    right.destroy();
  }, lingerMs);
  timer.unref();
  left.once('close', () => clearTimeout(timer));
}
