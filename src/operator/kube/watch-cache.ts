import { setTimeout as sleep } from 'node:timers/promises';
import { PxError, toPxError } from '../../kernel/errors.js';
import type { Logger } from '../../platform/logger.js';
import { monotonicMs } from '../../platform/monotonic.js';
import type { KubeCache, KubeObject, ListOptions, ObjectName, Resource } from '../ports.js';
import type { HttpKubeApi } from './kube-api.js';
import { isGone, kubeError } from './kube-errors.js';
import type { KubeHttp, LineStream } from './kube-http.js';
import { collectionPath } from './kube-path.js';
import { slim } from './slim.js';

export interface WatchTiming {
  /** A watch that says nothing for so long, not even a bookmark, is given up. */
  readonly silenceMs: number;
  /** A watch is asked to end by itself after half to all of this, to spread load. */
  readonly watchMs: number;
  /** Everything is listed again, in case an event was lost that nobody knows of. */
  readonly relistMs: number;
  readonly firstRetryMs: number;
  readonly longestRetryMs: number;
}

/** The API server sends a bookmark about once a minute. */
export const defaultWatchTiming: WatchTiming = {
  silenceMs: 150_000,
  watchMs: 600_000,
  relistMs: 3_600_000,
  firstRetryMs: 1_000,
  longestRetryMs: 10_000,
};

const newsAfterFailures = 5;

export type RestartReason = 'ended' | 'error' | 'gone' | 'silent' | 'relist';

export interface WatchCacheOptions {
  readonly http: KubeHttp;
  readonly api: HttpKubeApi;
  readonly logger: Logger;
  readonly timing: WatchTiming;
  readonly onRestart: (reason: RestartReason) => void;
}

interface WatchEvent {
  readonly type: 'ADDED' | 'MODIFIED' | 'DELETED' | 'BOOKMARK' | 'ERROR';
  readonly object: KubeObject & { readonly code?: number; readonly message?: string };
}

type Listener<T> = (object: T, change: 'set' | 'gone') => void;

/**
 * A list that follows a watch. Whatever happens to the watch, it is taken up
 * again from the last version seen, or from a new list when the server no
 * longer knows that version; listeners then hear only of what differs.
 */
export class WatchCache<T extends KubeObject> implements KubeCache<T> {
  private readonly objects = new Map<string, T>();
  private readonly listeners: Listener<T>[] = [];
  private readonly ending = new AbortController();
  private readonly ready: Promise<void>;
  private markReady: () => void = () => undefined;
  private isReady = false;
  private stream: LineStream | undefined;
  /** Where the watch goes on; undefined when everything must be listed. */
  private version: string | undefined;
  private listedAtMs = 0;
  private failures = 0;

  constructor(
    private readonly resource: Resource,
    private readonly selection: ListOptions,
    private readonly options: WatchCacheOptions,
  ) {
    this.ready = new Promise((resolve) => (this.markReady = resolve));
  }

  synced(): Promise<void> {
    return this.ready;
  }

  get isSynced(): boolean {
    return this.isReady;
  }

  get kind(): string {
    return this.resource.kind;
  }

  all(): readonly T[] {
    return [...this.objects.values()];
  }

  get(name: ObjectName): T | undefined {
    return this.objects.get(keyOf(name));
  }

  onChange(listener: Listener<T>): void {
    this.listeners.push(listener);
    for (const object of this.objects.values()) this.tell(listener, object, 'set');
  }

  /** Lists and watches until `stop`; never fails. */
  async run(): Promise<void> {
    while (!this.isStopped) {
      try {
        if (this.version === undefined) await this.relist();
        const startedAtMs = monotonicMs();
        await this.watch();
        // The server ends each watch after a while; watches that end at once must not spin.
        const { firstRetryMs } = this.options.timing;
        if (monotonicMs() - startedAtMs < firstRetryMs) await this.pause(firstRetryMs);
      } catch (thrown) {
        await this.recover(toPxError(thrown));
      }
    }
  }

  stop(): void {
    this.ending.abort();
    this.stream?.abort(new PxError('aborted', 'the operator ends'));
  }

  private async recover(error: PxError): Promise<void> {
    if (this.isStopped) return;
    const { logger, timing, onRestart } = this.options;
    const gone = isGone(error);
    onRestart(gone ? 'gone' : error.fields.silent === true ? 'silent' : 'error');
    if (gone) this.version = undefined;
    // The server is well, and the list is there for the asking; unless we have just asked.
    if (gone && monotonicMs() - this.listedAtMs > timing.firstRetryMs) return;
    this.failures += 1;
    const longest = Math.min(timing.firstRetryMs * 2 ** (this.failures - 1), timing.longestRetryMs);
    const waitMs = longest * (0.5 + Math.random() / 2);
    const level = this.failures === newsAfterFailures ? 'warn' : 'debug';
    logger[level](`the watch of ${this.resource.plural} starts again`, {
      reason: error.message,
      waitMs: Math.round(waitMs),
    });
    await this.pause(waitMs);
  }

  private recovered(): void {
    if (this.failures >= newsAfterFailures) {
      this.options.logger.info(`the watch of ${this.resource.plural} is well again`);
    }
    this.failures = 0;
  }

  private async pause(waitMs: number): Promise<void> {
    await sleep(waitMs, undefined, { signal: this.ending.signal }).catch(() => undefined);
  }

  private get isStopped(): boolean {
    return this.ending.signal.aborted;
  }

  private async relist(): Promise<void> {
    const { items, resourceVersion } = await this.options.api.listAll<T>(
      this.resource,
      this.selection,
    );
    const present = new Set<string>();
    for (const item of items) {
      present.add(keyOf(item.metadata));
      this.set(item);
    }
    for (const [key, object] of this.objects) if (!present.has(key)) this.remove(key, object);
    this.version = resourceVersion;
    this.listedAtMs = monotonicMs();
    this.recovered();
    this.isReady = true;
    this.markReady();
  }

  private async watch(): Promise<void> {
    const { http, timing, onRestart } = this.options;
    const relistInMs = this.listedAtMs + timing.relistMs - monotonicMs();
    const watchMs = Math.min(
      timing.watchMs * (0.5 + Math.random() / 2),
      Math.max(relistInMs, 1_000),
    );
    let failure: PxError | undefined;
    let lastWordMs = monotonicMs();
    const stream = http.stream(
      {
        method: 'GET',
        path: collectionPath(this.resource, this.selection.namespace),
        query: {
          watch: true,
          allowWatchBookmarks: true,
          resourceVersion: this.version,
          timeoutSeconds: Math.ceil(watchMs / 1_000),
          labelSelector: this.selection.labelSelector,
          fieldSelector: this.selection.fieldSelector,
        },
        timeoutMs: timing.silenceMs,
      },
      (line) => {
        lastWordMs = monotonicMs();
        if (failure !== undefined) return;
        failure = this.takeLine(line);
        if (failure !== undefined) stream.abort(failure);
      },
      (answer) => kubeError(answer, `watch ${this.resource.plural}`),
    );
    this.stream = stream;
    const watchdog = setInterval(() => {
      if (monotonicMs() - lastWordMs < timing.silenceMs) return;
      stream.abort(new PxError('unavailable', 'the watch fell silent', { silent: true }));
    }, timing.silenceMs / 5);
    try {
      if (this.isStopped) stream.abort(new PxError('aborted', 'the operator ends'));
      await stream.done;
      if (failure !== undefined) throw failure;
    } finally {
      clearInterval(watchdog);
    }
    const relist = monotonicMs() - this.listedAtMs >= timing.relistMs;
    if (relist) this.version = undefined;
    onRestart(relist ? 'relist' : 'ended');
  }

  /** Answers with the error that ends the watch, if the line says so. */
  private takeLine(line: string): PxError | undefined {
    let event: WatchEvent;
    try {
      event = JSON.parse(line) as WatchEvent;
    } catch (error) {
      return new PxError('unavailable', 'the watch broke off in the middle of a line', {}, error);
    }
    if (event.type === 'ERROR') {
      // A version that is too old comes as an event with a Status, after an answer of 200.
      return kubeError({ status: event.object.code ?? 500, json: event.object }, 'watch');
    }
    this.recovered();
    this.version = event.object.metadata.resourceVersion ?? this.version;
    if (event.type === 'BOOKMARK') return undefined;
    const object = event.object as unknown as T;
    if (event.type === 'DELETED') this.remove(keyOf(object.metadata), object);
    else this.set(object);
    return undefined;
  }

  private set(object: T): void {
    const key = keyOf(object.metadata);
    const before = this.objects.get(key);
    const version = object.metadata.resourceVersion;
    if (before !== undefined && before.metadata.resourceVersion === version) return;
    // Another object of the same name: who counts on the old one's end must hear of it.
    if (before !== undefined && before.metadata.uid !== object.metadata.uid) {
      this.remove(key, before);
    }
    const kept = slim(object);
    this.objects.set(key, kept);
    for (const listener of this.listeners) this.tell(listener, kept, 'set');
  }

  private remove(key: string, object: T): void {
    if (!this.objects.delete(key)) return;
    for (const listener of this.listeners) this.tell(listener, object, 'gone');
  }

  private tell(listener: Listener<T>, object: T, change: 'set' | 'gone'): void {
    try {
      listener(object, change);
    } catch (thrown) {
      this.options.logger.error(`a listener of ${this.resource.plural} failed`, {
        reason: toPxError(thrown).message,
      });
    }
  }
}

function keyOf({ namespace, name }: ObjectName): string {
  return `${namespace ?? ''}/${name}`;
}
