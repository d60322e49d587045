import { readFileSync } from 'node:fs';
import type { IRangeRequest, IRangeResponse, ITxnRequest } from 'etcd3';
import { PxError } from '../../kernel/errors.js';
import { delay, monotonicMs } from '../../platform/monotonic.js';
import { EtcdEndpoint, prefixEnd, toUnavailable, within } from './etcd-endpoint.js';
import type { EtcdLease } from './etcd-lease.js';
import { grantEtcdLease } from './etcd-lease.js';
import { EtcdWatch } from './etcd-watch.js';
import { parseKvdbUris } from './kvdb-uri.js';
import type {
  KvChange,
  KvChanges,
  KvCompare,
  Kvdb,
  KvEntry,
  KvFollower,
  KvLease,
  KvList,
  KvStatus,
  KvWatch,
  TxnOutcome,
} from './port.js';

export interface EtcdKvdbOptions {
  /** URIs as `parseKvdbUris` takes them. */
  readonly endpoints: readonly string[];
  readonly username?: string;
  readonly password?: string;
  readonly caFile?: string;
  readonly certFile?: string;
  readonly keyFile?: string;
  /** The bound of one attempt at one endpoint. */
  readonly callTimeoutMs?: number;
  /** Watchers are told to list again at least this often. */
  readonly relistMs?: number;
}

/** Is never there. */
const probeKey = 'pwx/probe';
/** Probes an idle store this often, so that an outage shows before anybody needs it. */
const probeMs = 2_000;
/** Silence for longer is an outage: two probes of one endpoint have failed by then. */
const outageMs = 5_000;
/** A channel's first backoff is of this order. */
const retryMs = 200;

export function createEtcdKvdb(options: EtcdKvdbOptions): Kvdb {
  return new EtcdKvdb(options);
}

class EtcdKvdb implements Kvdb {
  private readonly endpoints: readonly EtcdEndpoint[];
  private readonly callTimeoutMs: number;
  private readonly relistMs: number;
  private readonly watches = new Set<EtcdWatch>();
  private readonly leases = new Set<EtcdLease>();
  private readonly listeners: ((status: KvStatus) => void)[] = [];
  private readonly timer: NodeJS.Timeout;
  private readonly startedMs = monotonicMs();
  private preferred = 0;
  private lastAnswerMs = 0;
  private available = false;
  private everAvailable = false;
  private reason = 'not connected yet';
  private probing = false;
  private closed = false;

  constructor(options: EtcdKvdbOptions) {
    this.callTimeoutMs = options.callTimeoutMs ?? 2_000;
    this.relistMs = options.relistMs ?? 15_000;
    const read = (file?: string) => (file === undefined ? undefined : readFileSync(file));
    const access = {
      username: options.username,
      password: options.password,
      ca: read(options.caFile),
      cert: read(options.certFile),
      key: read(options.keyFile),
    };
    this.endpoints = parseKvdbUris(options.endpoints).map(
      (url) => new EtcdEndpoint(url, access, this.callTimeoutMs),
    );
    this.timer = setInterval(() => this.tick(), 1_000);
    this.timer.unref();
  }

  async get(key: string): Promise<KvEntry | undefined> {
    const response = await this.range({ key: Buffer.from(key) });
    const entry = response.kvs[0];
    return entry === undefined ? undefined : toEntry(entry);
  }

  async revision(): Promise<number> {
    // Any key will do: the header of each answer has it, and one key costs nothing.
    const response = await this.range({ key: Buffer.from(probeKey), count_only: true });
    return Number(response.header.revision);
  }

  async list(prefix: string): Promise<KvList> {
    const response = await this.range({
      key: Buffer.from(prefix),
      range_end: prefixEnd(prefix),
    });
    return { entries: response.kvs.map(toEntry), revision: Number(response.header.revision) };
  }

  async listKeys(prefix: string): Promise<{ keys: string[]; revision: number }> {
    const response = await this.range({
      key: Buffer.from(prefix),
      range_end: prefixEnd(prefix),
      keys_only: true,
    });
    return {
      keys: response.kvs.map(({ key }) => key.toString()),
      revision: Number(response.header.revision),
    };
  }

  async listSince(prefix: string, revision: number): Promise<KvChanges> {
    const response = await this.range({
      key: Buffer.from(prefix),
      range_end: prefixEnd(prefix),
      min_mod_revision: revision + 1,
    });
    return {
      entries: response.kvs.map(toEntry),
      revision: Number(response.header.revision),
      // etcd counts the keys of the range before it applies the filter.
      count: Number(response.count),
    };
  }

  async txn(compares: readonly KvCompare[], changes: readonly KvChange[]): Promise<TxnOutcome> {
    try {
      const request = toTxnRequest(compares, changes);
      // Once only: a second try of one that went through would report a conflict.
      const response = await this.once((endpoint) =>
        endpoint.client.kv.txn(request, this.callOptions()),
      );
      if (!response.succeeded) return { outcome: 'conflict' };
      return { outcome: 'ok', revision: Number(response.header.revision) };
    } catch (error) {
      return { outcome: 'unknown', reason: error instanceof Error ? error.message : String(error) };
    }
  }

  async grantLease(ttlMs: number): Promise<KvLease> {
    const lease = await grantEtcdLease(ttlMs, {
      call: (run) => this.once(run),
      callTimeoutMs: this.callTimeoutMs,
    });
    this.leases.add(lease);
    return lease;
  }

  watch(prefix: string, onHint: (keys: readonly string[]) => void, follower?: KvFollower): KvWatch {
    const watch = new EtcdWatch(
      prefix,
      { onHint, follower },
      {
        endpoint: () => this.endpoint(),
        failed: (endpoint) => this.rotate(endpoint),
        relistMs: this.relistMs,
        onClose: () => this.watches.delete(watch),
      },
    );
    this.watches.add(watch);
    return watch;
  }

  status(): KvStatus {
    return { available: this.available, reason: this.reason, lastAnswerMs: this.lastAnswerMs };
  }

  onStatus(callback: (status: KvStatus) => void): void {
    this.listeners.push(callback);
  }

  close(): void {
    this.closed = true;
    clearInterval(this.timer);
    for (const watch of [...this.watches]) watch.close();
    for (const lease of this.leases) lease.stop();
    for (const endpoint of this.endpoints) endpoint.close();
  }

  private callOptions(): { deadline: number } {
    return { deadline: Date.now() + this.callTimeoutMs };
  }

  private endpoint(): EtcdEndpoint {
    const endpoint = this.endpoints[this.preferred];
    if (endpoint === undefined) throw new PxError('internal', 'no etcd endpoint');
    return endpoint;
  }

  private rotate(failed: EtcdEndpoint): void {
    if (this.endpoints[this.preferred] !== failed) return;
    this.preferred = (this.preferred + 1) % this.endpoints.length;
  }

  /**
   * A read may be asked again: of each endpoint, and for a while, as a channel
   * that reconnects refuses at once. During a known outage nobody is kept waiting.
   */
  private async range(request: IRangeRequest): Promise<IRangeResponse> {
    const untilMs = monotonicMs() + this.callTimeoutMs * 2;
    for (let attempt = 1; ; attempt++) {
      try {
        return await this.once((endpoint) => endpoint.client.kv.range(request, this.callOptions()));
      } catch (error) {
        const triedAll = attempt >= this.endpoints.length;
        if (this.closed || (triedAll && (!this.available || monotonicMs() > untilMs))) throw error;
        if (triedAll) await delay(retryMs);
      }
    }
  }

  private async once<T>(run: (endpoint: EtcdEndpoint) => Promise<T>): Promise<T> {
    if (this.closed) throw new PxError('kvdb_unavailable', 'the kvdb client is closed');
    const endpoint = this.endpoint();
    try {
      const answer = await within(run(endpoint), this.callTimeoutMs, endpoint.url);
      this.answered();
      return answer;
    } catch (error) {
      this.rotate(endpoint);
      const failure = error instanceof PxError ? error : toUnavailable(endpoint.url, error);
      this.reason = failure.message;
      throw failure;
    }
  }

  private answered(): void {
    this.lastAnswerMs = monotonicMs();
    if (this.available || this.closed) return;
    const first = !this.everAvailable;
    this.everAvailable = true;
    this.setAvailable(true, '');
    // A stream that lived through an outage may have died unnoticed.
    if (!first) for (const watch of this.watches) watch.reconnect();
  }

  private setAvailable(available: boolean, reason: string): void {
    this.available = available;
    this.reason = reason;
    for (const listener of this.listeners) listener(this.status());
  }

  private tick(): void {
    const silentMs = monotonicMs() - Math.max(this.lastAnswerMs, this.startedMs);
    if (silentMs > outageMs && this.available) {
      this.setAvailable(false, this.reason === '' ? 'etcd does not answer' : this.reason);
    }
    if (this.probing || silentMs < probeMs - 500) return;
    this.probing = true;
    this.get(probeKey)
      .catch(() => undefined)
      .finally(() => (this.probing = false));
  }
}

function toEntry(entry: { key: Buffer; value: Buffer; mod_revision: string }): KvEntry {
  return {
    key: entry.key.toString(),
    value: entry.value.toString(),
    modRevision: Number(entry.mod_revision),
  };
}

function toTxnRequest(compares: readonly KvCompare[], changes: readonly KvChange[]): ITxnRequest {
  return {
    // An absent key has modification revision 0 (etcd's data model).
    compare: compares.map(({ key, modRevision }) => ({
      key: Buffer.from(key),
      target: 'Mod',
      result: 'Equal',
      mod_revision: modRevision,
    })),
    success: changes.map((change) =>
      change.type === 'put'
        ? {
            request_put: {
              key: Buffer.from(change.key),
              value: Buffer.from(change.value),
              ...(change.leaseId === undefined ? {} : { lease: change.leaseId }),
            },
          }
        : { request_delete_range: { key: Buffer.from(change.key) } },
    ),
    failure: [],
  };
}
