import type { IWatchResponse } from 'etcd3';
import { prefixEnd, type EtcdEndpoint } from './etcd-endpoint.js';
import type { KvFollower, KvWatch } from './port.js';

export interface WatchSource {
  endpoint(): EtcdEndpoint;
  failed(endpoint: EtcdEndpoint): void;
  readonly relistMs: number;
  onClose(): void;
}

export interface WatchListener {
  onHint(keys: readonly string[]): void;
  readonly follower: KvFollower | undefined;
}

type WatchStream = Awaited<ReturnType<EtcdEndpoint['client']['watchClient']['watch']>>;

const firstBackoffMs = 200;
const lastBackoffMs = 2_000;

/**
 * A watch that says "look again", and to a follower what has changed. It starts
 * from the present each time, so a compaction cannot hurt it; etcd3's own watcher
 * replays from a revision, throws inside its stream's handlers and stays silent
 * after a freeze.
 */
export class EtcdWatch implements KvWatch {
  private readonly prefix: string;
  private readonly listener: WatchListener;
  private readonly source: WatchSource;
  private readonly relistTimer: NodeJS.Timeout;
  private retryTimer: NodeJS.Timeout | undefined;
  private stream: WatchStream | undefined;
  /** Raised by every new connection: what an older one still says is ignored. */
  private generation = 0;
  private backoffMs = firstBackoffMs;
  private closed = false;

  constructor(prefix: string, listener: WatchListener, source: WatchSource) {
    this.prefix = prefix;
    this.listener = listener;
    this.source = source;
    this.relistTimer = setInterval(() => listener.onHint([]), source.relistMs);
    this.relistTimer.unref();
    this.connect();
  }

  close(): void {
    this.closed = true;
    clearInterval(this.relistTimer);
    this.drop();
    this.source.onClose();
  }

  /** Starts afresh, at whichever endpoint answers now. */
  reconnect(): void {
    if (this.closed) return;
    this.drop();
    this.connect();
  }

  private drop(): void {
    this.generation++;
    clearTimeout(this.retryTimer);
    this.stream?.cancel();
    this.stream = undefined;
  }

  private connect(): void {
    const generation = this.generation;
    const endpoint = this.source.endpoint();
    endpoint.client.watchClient.watch().then(
      (stream) => this.adopt(stream, generation, endpoint),
      () => this.lost(generation, endpoint),
    );
  }

  private adopt(stream: WatchStream, generation: number, endpoint: EtcdEndpoint): void {
    // Also when it is not wanted any more: an error without a listener ends the process.
    stream.on('error', () => this.lost(generation, endpoint));
    if (generation !== this.generation) return stream.cancel();
    this.stream = stream;
    stream.on('end', () => this.lost(generation, endpoint));
    stream.on('data', (response: IWatchResponse) => {
      if (generation === this.generation) this.onResponse(response, generation, endpoint);
    });
    stream.write({
      create_request: { key: Buffer.from(this.prefix), range_end: prefixEnd(this.prefix) },
    });
  }

  private onResponse(response: IWatchResponse, generation: number, endpoint: EtcdEndpoint): void {
    if (response.canceled) return this.lost(generation, endpoint);
    if (response.created) {
      this.backoffMs = firstBackoffMs;
      // The revision at which etcd put the watch in; changes after it are told.
      this.listener.follower?.begins(Number(response.header.revision));
      // What happened while nobody watched.
      return this.listener.onHint([]);
    }
    if (response.events.length === 0) return;
    const events = response.events.map(({ type, kv }) => ({
      key: kv.key.toString(),
      value: type === 'Delete' ? undefined : kv.value.toString(),
      modRevision: Number(kv.mod_revision),
    }));
    this.listener.follower?.changed(events);
    this.listener.onHint(events.map(({ key }) => key));
  }

  private lost(generation: number, endpoint: EtcdEndpoint): void {
    if (generation !== this.generation || this.closed) return;
    this.source.failed(endpoint);
    this.drop();
    this.retryTimer = setTimeout(() => this.connect(), this.backoffMs);
    this.retryTimer.unref();
    this.backoffMs = Math.min(this.backoffMs * 2, lastBackoffMs);
  }
}
