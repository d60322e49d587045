import { Etcd3, type IOptions } from 'etcd3';
import { PxError } from '../../kernel/errors.js';

export interface EtcdEndpointOptions {
  readonly username?: string;
  readonly password?: string;
  readonly ca?: Buffer;
  readonly cert?: Buffer;
  readonly key?: Buffer;
}

type Policy = NonNullable<NonNullable<IOptions['faultHandling']>['global']>;

/**
 * Runs a call once. etcd3 retries three times by default, which turns a
 * transaction that went through without an answer into a false conflict.
 */
const onceOnly = {
  execute: async (call: (context: unknown) => unknown) =>
    await call({ signal: new AbortController().signal }),
  onSuccess: () => ({ dispose: () => undefined }),
  onFailure: () => ({ dispose: () => undefined }),
} as unknown as Policy;

/** grpc-js defers a call's own deadline by up to some milliseconds. */
const deadlineSlackMs = 250;

/**
 * One etcd server. The adapter above chooses among several: the client's own
 * choice is random and keeps coming back to a frozen one.
 */
export class EtcdEndpoint {
  readonly url: string;
  readonly client: Etcd3;
  private readonly closeChannels: () => void;

  constructor(url: string, options: EtcdEndpointOptions, callTimeoutMs: number) {
    this.url = url;
    const { username, password, ca, cert, key } = options;
    const bounded = () => ({ deadline: Date.now() + callTimeoutMs });
    this.client = new Etcd3({
      hosts: url,
      grpcOptions: {
        // Without these a frozen server hangs a call for 20 s and leaves a watch silent.
        'grpc.keepalive_time_ms': 2_000,
        'grpc.keepalive_timeout_ms': 1_000,
        'grpc.initial_reconnect_backoff_ms': 100,
        'grpc.max_reconnect_backoff_ms': 1_000,
        'grpc.max_receive_message_length': 64 * 1024 * 1024,
      },
      faultHandling: { global: onceOnly, host: () => onceOnly },
      ...(ca === undefined
        ? {}
        : { credentials: { rootCertificate: ca, privateKey: key, certChain: cert } }),
      ...(username === undefined
        ? {}
        : { auth: { username, password: password ?? '', callOptions: bounded } }),
    });
    this.closeChannels = keepChannels(this.client);
  }

  close(): void {
    this.client.close();
    this.closeChannels();
  }
}

/**
 * etcd3 closes every channel of a server after any failed call, a cancelled
 * stream included, and so fails whatever else is under way there. gRPC's
 * channels reconnect by themselves. Answers what closes them in the end.
 */
function keepChannels(client: Etcd3): () => void {
  const { hosts } = (client as unknown as { pool: { hosts: EtcdHost[] } }).pool;
  const closers = hosts.map((host) => {
    const close = host.resetAllServices.bind(host);
    host.resetAllServices = () => undefined;
    return close;
  });
  return () => {
    for (const close of closers) close();
  };
}

interface EtcdHost {
  resetAllServices(): void;
}

/** Rejects with `kvdb_unavailable` when a call outlives its bound, whatever became of it. */
export async function within<T>(promise: Promise<T>, timeoutMs: number, url: string): Promise<T> {
  let timer: NodeJS.Timeout | undefined;
  const expired = new Promise<never>((_resolve, reject) => {
    timer = setTimeout(
      () => reject(unavailable(url, `no answer within ${timeoutMs} ms`)),
      timeoutMs + deadlineSlackMs,
    );
  });
  try {
    return await Promise.race([promise, expired]);
  } finally {
    clearTimeout(timer);
  }
}

/** What went wrong in words: the client's own tell of its inner channels. */
export function toUnavailable(url: string, thrown: unknown): PxError {
  const text = thrown instanceof Error ? thrown.message : String(thrown);
  const lost = /UNAVAILABLE|DEADLINE_EXCEEDED|CANCELLED|Circuit|closed/i.test(text);
  return unavailable(url, lost ? 'it does not answer' : text, thrown);
}

function unavailable(url: string, reason: string, cause?: unknown): PxError {
  return new PxError('kvdb_unavailable', `etcd at ${url}: ${reason}`, {}, cause);
}

/** The first key after every key that starts with the prefix, as etcd wants it. */
export function prefixEnd(prefix: string): Buffer {
  const end = Buffer.from(prefix);
  for (let index = end.length - 1; index >= 0; index--) {
    const byte = end.readUInt8(index);
    if (byte < 0xff) {
      end[index] = byte + 1;
      return end.subarray(0, index + 1);
    }
  }
  return Buffer.from([0]);
}
