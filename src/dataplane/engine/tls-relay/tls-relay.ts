import { toPxError } from '../../../kernel/errors.js';
import type { Logger } from '../../../platform/logger.js';
import { delay } from '../../../platform/monotonic.js';
import { TlsFileWatch } from '../../../platform/tls-files.js';
import { InboundRelay } from './inbound-relay.js';
import { OutboundRelay, type RelayDeps } from './outbound-relay.js';
import type { TlsRelaySettings } from './settings.js';

interface Listener {
  listen(): Promise<void>;
  close(): void;
}

/** A relay that was killed with its engine may hold the port for a moment longer. */
const quickAttempts = 10;
const quickRetryMs = 100;
const retryMs = 1_000;

/**
 * TLS for the engine, whose I/O threads speak to plain sockets only: its links
 * connect to other nodes through this relay, and other nodes to it.
 */
export class TlsRelay {
  private readonly deps: RelayDeps;
  private readonly open: Listener[] = [];
  private closed = false;

  constructor(
    settings: TlsRelaySettings,
    private readonly log: Logger,
  ) {
    const files = new TlsFileWatch(settings.tls, (error) =>
      log.warn('new TLS files cannot be used; the old ones stay', { reason: error.message }),
    );
    this.deps = { settings, files, log };
  }

  /** Returns when both sides listen, which is as soon as the files are good and the port is free. */
  async start(): Promise<void> {
    await Promise.all([
      this.listen('links', () => new OutboundRelay(this.deps)),
      this.listen('nodes', () => new InboundRelay(this.deps)),
    ]);
  }

  close(): void {
    this.closed = true;
    for (const listener of this.open) listener.close();
  }

  private async listen(side: string, make: () => Listener): Promise<void> {
    let lastReason = '';
    for (let attempt = 0; !this.closed; attempt++) {
      let listener: Listener | undefined;
      try {
        listener = make();
        await listener.listen();
        this.open.push(listener);
        if (this.closed) listener.close();
        return;
      } catch (error) {
        listener?.close();
        const reason = toPxError(error).message;
        // The engine goes on without: its own replicas are worth serving.
        if (reason !== lastReason) this.log.error('the TLS relay cannot listen', { side, reason });
        lastReason = reason;
        await delay(attempt < quickAttempts ? quickRetryMs : retryMs);
      }
    }
  }
}
