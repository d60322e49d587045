import { resources } from '../../crds/resources.js';
import { silentLogger } from '../../platform/logger.js';
import type { KubeObject } from '../ports.js';
import { HttpKubeApi } from './kube-api.js';
import { KubeHttp } from './kube-http.js';
import { status, TestingApiServer } from './testing-api-server.js';
import { WatchCache, type RestartReason, type WatchTiming } from './watch-cache.js';

const path = '/api/v1/configmaps';
const quick: WatchTiming = {
  silenceMs: 60_000,
  watchMs: 600_000,
  relistMs: 3_600_000,
  firstRetryMs: 10,
  longestRetryMs: 50,
};

function object(name: string, uid?: string): KubeObject {
  return {
    ...{ apiVersion: 'v1', kind: 'ConfigMap' },
    metadata: { name, ...(uid === undefined ? {} : { uid }) },
  };
}

describe('WatchCache', () => {
  let server: TestingApiServer;
  let http: KubeHttp;
  let cache: WatchCache<KubeObject>;
  let running: Promise<void>;
  let changes: string[];
  let restarts: RestartReason[];
  let waiters: (() => void)[];

  beforeEach(async () => {
    server = await TestingApiServer.start();
    http = new KubeHttp({ server: server.url, tls: {}, authorization: async () => undefined });
    [changes, restarts, waiters] = [[], [], []];
  });

  afterEach(async () => {
    cache.stop();
    await running;
    http.close();
    await server.stop();
  });

  function start(timing: Partial<WatchTiming> = {}): void {
    cache = new WatchCache(
      resources.configMap,
      {},
      {
        ...{ http, api: new HttpKubeApi(http), logger: silentLogger },
        timing: { ...quick, ...timing },
        onRestart: (reason) => restarts.push(reason),
      },
    );
    cache.onChange(({ metadata }, change) => {
      changes.push(`${change} ${metadata.name}`);
      for (const waiter of waiters.splice(0)) waiter();
    });
    running = cache.run();
  }

  async function changed(text: string): Promise<void> {
    while (!changes.includes(text)) await new Promise<void>((resolve) => waiters.push(resolve));
  }

  const names = (): string[] =>
    cache
      .all()
      .map(({ metadata }) => metadata.name)
      .sort();

  test('what is there is listed, what comes is watched, what goes is told', async () => {
    server.put(path, object('a'));
    start();
    await cache.synced();
    expect(changes).toEqual(['set a']);
    await server.watched(1);
    server.put(path, object('b'));
    await changed('set b');
    expect(cache.get({ name: 'b' })).toMatchObject({ metadata: { name: 'b' } });
    server.remove(path, 'a');
    await changed('gone a');
    expect(names()).toEqual(['b']);
    expect(server.requests('GET')).toHaveLength(2);
  });

  test('a listener that comes late hears of what is there', async () => {
    server.put(path, object('a'));
    start();
    await cache.synced();
    const late: string[] = [];
    cache.onChange(({ metadata }, change) => late.push(`${change} ${metadata.name}`));
    expect(late).toEqual(['set a']);
  });

  test('managed fields are not kept', async () => {
    server.put(path, { ...object('a'), metadata: { name: 'a', managedFields: [{}] } as never });
    start();
    await cache.synced();
    expect(cache.get({ name: 'a' })?.metadata).not.toHaveProperty('managedFields');
  });

  test('a watch that the server ends goes on from the last version, without a list', async () => {
    start();
    await server.watched(1);
    server.put(path, object('a'));
    await changed('set a');
    server.endWatches();
    server.put(path, object('b'));
    await changed('set b');
    expect(changes).toEqual(['set a', 'set b']);
    expect(restarts).toEqual(['ended']);
    const lists = server.requests('GET', (url) => !url.searchParams.has('watch'));
    expect(lists).toHaveLength(1);
  });

  test('a bookmark moves the version on: compaction up to it costs no list', async () => {
    start();
    await server.watched(1);
    server.bookmark();
    server.put(path, object('a'));
    await changed('set a');
    server.forgetHistory();
    server.endWatches();
    await server.watched(1);
    server.put(path, object('b'));
    await changed('set b');
    expect(restarts).toEqual(['ended']);
  });

  test('a connection that breaks, too', async () => {
    start();
    await server.watched(1);
    server.cutWatches();
    server.put(path, object('a'));
    await changed('set a');
    expect(restarts).toEqual(['error']);
  });

  test.each(['as an answer', 'as an event'])(
    'when the version is too old (410 %s) only differences are told',
    async (form) => {
      server.put(path, object('same'));
      server.put(path, object('gone'));
      start();
      await server.watched(1);
      if (form === 'as an answer') {
        await server.stop();
        server.remove(path, 'gone');
        server.put(path, object('new'));
        server.forgetHistory();
        await server.restart();
      } else {
        server.sendError(410);
        server.endWatches();
        server.remove(path, 'gone');
        server.put(path, object('new'));
      }
      await changed('set new');
      expect([...changes].sort()).toEqual(['gone gone', 'set gone', 'set new', 'set same']);
      expect(names()).toEqual(['new', 'same']);
      expect(restarts).toContain('gone');
    },
  );

  test('an API server that is away is asked again until it is back', async () => {
    start();
    await server.watched(1);
    await server.stop();
    await new Promise<void>((resolve) => {
      const timer = setInterval(() => {
        if (restarts.length < 3) return;
        clearInterval(timer);
        resolve();
      }, 5);
    });
    await server.restart();
    server.put(path, object('a'));
    await changed('set a');
    expect(new Set(restarts)).toEqual(new Set(['error']));
  });

  test('an object made anew under its name is told as gone and set', async () => {
    server.put(path, object('a', 'one'));
    start();
    await server.watched(1);
    await server.stop();
    server.put(path, object('a', 'two'));
    await server.restart();
    await changed('gone a');
    expect(changes).toEqual(['set a', 'gone a', 'set a']);
    expect(cache.get({ name: 'a' })?.metadata.uid).toBe('two');
  });

  test('a watch that is silent, without even a bookmark, is given up', async () => {
    start({ silenceMs: 100 });
    await server.watched(1);
    server.put(path, object('a'));
    await changed('set a');
    await new Promise<void>((resolve) => {
      const timer = setInterval(() => {
        if (!restarts.includes('silent')) return;
        clearInterval(timer);
        resolve();
      }, 5);
    });
    await server.watched(1);
    server.put(path, object('b'));
    await changed('set b');
  });

  test('once in a while everything is listed, and an event that was lost is made up for', async () => {
    start({ relistMs: 1_000 });
    await server.watched(1);
    const watch = server.requests('GET', (url) => url.searchParams.has('watch'))[0];
    expect(Number(watch?.url.searchParams.get('timeoutSeconds'))).toBe(1);
    await new Promise((resolve) => setTimeout(resolve, 1_000));
    server.endWatches();
    server.put(path, object('a'));
    await changed('set a');
    expect(restarts).toEqual(['relist']);
  });

  test('a kind that may not be listed leaves the cache unsynced, not the process dead', async () => {
    for (let index = 0; index < 3; index += 1) {
      server.instead.push(() => status(403, 'Forbidden', 'no'));
    }
    start();
    expect(cache.isSynced).toBe(false);
    await cache.synced();
    expect(restarts).toEqual(['error', 'error', 'error']);
  });

  test('a listener that throws hurts nobody else', async () => {
    start();
    cache.onChange(() => {
      throw new Error('a defect');
    });
    await server.watched(1);
    server.put(path, object('a'));
    server.put(path, object('b'));
    await changed('set b');
    expect(names()).toEqual(['a', 'b']);
  });
});
