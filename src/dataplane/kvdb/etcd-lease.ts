import type { ILeaseKeepAliveResponse } from 'etcd3';
import { PxError } from '../../kernel/errors.js';
import { monotonicMs } from '../../platform/monotonic.js';
import type { EtcdEndpoint } from './etcd-endpoint.js';
import type { KvLease } from './port.js';

export interface LeaseCalls {
  /** Runs a call at the endpoint that answers best, bounded in time. */
  call<T>(run: (endpoint: EtcdEndpoint) => Promise<T>): Promise<T>;
  readonly callTimeoutMs: number;
}

/** After a failed renewal the next one does not wait for the usual third of the TTL. */
const retryMs = 500;

export async function grantEtcdLease(ttlMs: number, calls: LeaseCalls): Promise<EtcdLease> {
  const sentMs = monotonicMs();
  const granted = await calls.call((endpoint) =>
    endpoint.client.leaseClient.leaseGrant(
      { TTL: Math.ceil(ttlMs / 1000) },
      { deadline: Date.now() + calls.callTimeoutMs },
    ),
  );
  return new EtcdLease(granted.ID, ttlMs, sentMs, calls);
}

/**
 * Renews by one short stream each time: etcd3's own keep-alive reports a loss
 * up to twice the TTL late, and its long stream can outlive its server.
 */
export class EtcdLease implements KvLease {
  readonly id: string;
  private readonly ttlMs: number;
  private readonly calls: LeaseCalls;
  private aliveUntil: number;
  private timer: NodeJS.Timeout | undefined;
  private goneCallback: (() => void) | undefined;
  private gone = false;
  private stopped = false;

  constructor(id: string, ttlMs: number, sentMs: number, calls: LeaseCalls) {
    this.id = id;
    this.ttlMs = ttlMs;
    this.calls = calls;
    this.aliveUntil = sentMs + ttlMs;
    this.schedule(ttlMs / 3);
  }

  aliveUntilMs(): number {
    return this.gone ? 0 : this.aliveUntil;
  }

  onGone(callback: () => void): void {
    this.goneCallback = callback;
    if (this.gone) callback();
  }

  async revoke(): Promise<void> {
    this.stop();
    this.aliveUntil = 0;
    await this.calls
      .call((endpoint) =>
        endpoint.client.leaseClient.leaseRevoke(
          { ID: this.id },
          { deadline: Date.now() + this.calls.callTimeoutMs },
        ),
      )
      // It ends by itself when the store does not answer.
      .catch(() => undefined);
  }

  /** Stops renewing without a word to the store. */
  stop(): void {
    this.stopped = true;
    clearTimeout(this.timer);
  }

  private schedule(delayMs: number): void {
    if (this.stopped || this.gone) return;
    this.timer = setTimeout(() => void this.renew(), delayMs);
    this.timer.unref();
  }

  private async renew(): Promise<void> {
    const sentMs = monotonicMs();
    try {
      const ttlSeconds = await this.calls.call((endpoint) => this.renewAt(endpoint));
      if (this.stopped) return;
      if (ttlSeconds > 0) {
        this.aliveUntil = sentMs + this.ttlMs;
        this.schedule(this.ttlMs / 3);
        return;
      }
      this.gone = true;
      this.goneCallback?.();
    } catch {
      this.schedule(retryMs);
    }
  }

  private async renewAt(endpoint: EtcdEndpoint): Promise<number> {
    const stream = await endpoint.client.leaseClient.leaseKeepAlive({
      deadline: Date.now() + this.calls.callTimeoutMs,
    });
    try {
      return await new Promise<number>((resolve, reject) => {
        stream.on('data', (reply: ILeaseKeepAliveResponse) => resolve(Number(reply.TTL)));
        stream.on('error', reject);
        stream.on('end', () => reject(new PxError('kvdb_unavailable', 'the stream ended')));
        stream.write({ ID: this.id });
      });
    } finally {
      stream.on('error', () => undefined);
      stream.cancel();
    }
  }
}
