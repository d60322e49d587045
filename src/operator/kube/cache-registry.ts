import type { KubeCache, KubeObject, ListOptions, Resource } from '../ports.js';
import { WatchCache, type RestartReason, type WatchCacheOptions } from './watch-cache.js';

export type CacheRegistryOptions = Omit<WatchCacheOptions, 'onRestart'> & {
  readonly onRestart: (kind: string, reason: RestartReason) => void;
};

/** One watch for all who ask for the same objects. */
export class CacheRegistry {
  private readonly caches = new Map<string, WatchCache<KubeObject>>();
  private running: Promise<void>[] | undefined;

  constructor(private readonly options: CacheRegistryOptions) {}

  cache<T extends KubeObject>(resource: Resource, selection: ListOptions = {}): KubeCache<T> {
    const { namespace, labelSelector, fieldSelector } = selection;
    const key = [
      resource.apiVersion,
      resource.plural,
      namespace,
      labelSelector,
      fieldSelector,
    ].join('|');
    let cache = this.caches.get(key);
    if (cache === undefined) {
      cache = new WatchCache<KubeObject>(resource, selection, {
        ...this.options,
        onRestart: (reason) => this.options.onRestart(resource.kind, reason),
      });
      this.caches.set(key, cache);
      this.running?.push(cache.run());
    }
    return cache as unknown as KubeCache<T>;
  }

  start(): void {
    this.running ??= [...this.caches.values()].map((cache) => cache.run());
  }

  async synced(): Promise<void> {
    await Promise.all([...this.caches.values()].map((cache) => cache.synced()));
  }

  /** Kinds whose first list is not in yet. */
  unsynced(): string[] {
    return [...this.caches.values()].filter((cache) => !cache.isSynced).map((cache) => cache.kind);
  }

  async stop(): Promise<void> {
    for (const cache of this.caches.values()) cache.stop();
    await Promise.all(this.running ?? []);
  }
}
