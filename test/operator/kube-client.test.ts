import { mkdtemp, readFile, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { resources } from '../../src/crds/resources.js';
import { CacheRegistry } from '../../src/operator/kube/cache-registry.js';
import { KubeEventRecorder } from '../../src/operator/kube/event-recorder.js';
import { HttpKubeApi } from '../../src/operator/kube/kube-api.js';
import { KubeHttp } from '../../src/operator/kube/kube-http.js';
import { defaultWatchTiming } from '../../src/operator/kube/watch-cache.js';
import type { KubeObject } from '../../src/operator/ports.js';
import { silentLogger } from '../../src/platform/logger.js';
import { waitFor } from '../../tools/lib/wait.js';
import { ApiServer, describeOnApiServer } from '../kubernetes/api-server.js';

interface ConfigMap extends KubeObject {
  readonly data?: Readonly<Record<string, string>>;
}

const namespace = 'default';

function configMap(name: string, data: Record<string, string>): ConfigMap {
  return { apiVersion: 'v1', kind: 'ConfigMap', metadata: { name, namespace }, data };
}

/** What only the real API server can tell: ownership of fields, versions, validation. */
describeOnApiServer("the operator's client on the real API server", (programs) => {
  let dir: string;
  let server: ApiServer;
  let http: KubeHttp;
  let api: HttpKubeApi;
  let caches: CacheRegistry;

  beforeAll(async () => {
    dir = await mkdtemp(path.join(tmpdir(), 'px-kube-client-'));
    server = await ApiServer.start({ dir, programs });
    const config = JSON.parse(await readFile(server.kubeconfig, 'utf8')) as {
      clusters: { cluster: { 'certificate-authority': string } }[];
      users: { user: { token: string } }[];
    };
    http = new KubeHttp({
      server: new URL(server.url),
      tls: { ca: await readFile(config.clusters[0].cluster['certificate-authority']) },
      authorization: async () => `Bearer ${config.users[0].user.token}`,
    });
    api = new HttpKubeApi(http);
    caches = new CacheRegistry({
      ...{ http, api, logger: silentLogger, onRestart: () => undefined },
      timing: { ...defaultWatchTiming, firstRetryMs: 100, longestRetryMs: 1_000 },
    });
  }, 90_000);

  afterAll(async () => {
    await caches.stop();
    http.close();
    await server.stop();
    await rm(dir, { recursive: true, force: true });
  });

  test('what is applied without a field that was applied before loses it; drift is corrected', async () => {
    await api.apply(resources.configMap, configMap('a', { one: '1', two: '2' }));
    const patch = { data: { one: 'drift', theirs: 'x' } };
    const drifted = await server.kubectl([
      ...['patch', 'configmap', 'a', '--type=merge', '-p', JSON.stringify(patch)],
    ]);
    expect(drifted.code).toBe(0);
    const applied = await api.apply(resources.configMap, configMap('a', { one: '1' }));
    expect(applied.data).toEqual({ one: '1', theirs: 'x' });
  });

  test('applying the same again changes no version, so that nothing wakes', async () => {
    const first = await api.apply(resources.configMap, configMap('b', { one: '1' }));
    const second = await api.apply(resources.configMap, configMap('b', { one: '1' }));
    expect(second.metadata.resourceVersion).toBe(first.metadata.resourceVersion);
  });

  test('an object that the API server refuses is an invalid argument that names the field', async () => {
    const wrong = { ...configMap('c', {}), data: { 'no spaces': '1' } };
    await expect(api.apply(resources.configMap, wrong)).rejects.toMatchObject({
      code: 'invalid_argument',
      message: expect.stringContaining('data[no spaces]') as string,
    });
  });

  test('creation, conditional change and deletion of the one that was meant', async () => {
    const made = await api.create(resources.configMap, configMap('d', { one: '1' }));
    await expect(api.create(resources.configMap, configMap('d', {}))).rejects.toMatchObject({
      code: 'already_exists',
    });
    const { resourceVersion, uid = '' } = made.metadata;
    const name = { namespace, name: 'd' };
    const change = { metadata: { resourceVersion }, data: { one: '2' } };
    await api.patch(resources.configMap, name, change);
    await expect(api.patch(resources.configMap, name, change)).rejects.toMatchObject({
      code: 'aborted',
    });
    expect(await api.delete(resources.configMap, name, { uid: 'of-another' })).toBe(false);
    expect(await api.delete(resources.configMap, name, { uid })).toBe(true);
    expect(await api.get(resources.configMap, name)).toBeUndefined();
  });

  test('an Event and its series are what kubectl shows', async () => {
    const about = await api.apply(resources.configMap, configMap('e', {}));
    const events = new KubeEventRecorder({
      ...{ kube: api, logger: silentLogger, instance: 'test' },
      ...{ seriesEveryMs: 60_000, forgetAfterMs: 60_000 },
    });
    const note = { type: 'Warning', reason: 'Tried', message: 'this is a trial' } as const;
    for (let count = 0; count < 3; count += 1) {
      events.note({ ...about, apiVersion: 'v1', kind: 'ConfigMap' }, note);
    }
    await events.flush();
    const shown = await server.kubectl(['events', '--for', 'configmap/e']);
    expect(shown.stdout).toMatch(
      /\(x3 over .*\)\s+Warning\s+Tried\s+ConfigMap\/e\s+this is a trial/,
    );
  });

  test('a cache follows changes, over a crash of the API server too', async () => {
    const cache = caches.cache<ConfigMap>(resources.configMap, { namespace });
    caches.start();
    await cache.synced();
    await api.apply(resources.configMap, configMap('f', { one: '1' }));
    const value = (): string | undefined => cache.get({ namespace, name: 'f' })?.data?.one;
    await waitFor('the object', 5_000, () => (value() === '1' ? true : undefined), 10);
    await server.killServer();
    expect(value()).toBe('1');
    await server.startServer();
    await api.apply(resources.configMap, configMap('f', { one: '2' }));
    await waitFor('the change', 15_000, () => (value() === '2' ? true : undefined), 50);
    await api.delete(resources.configMap, { namespace, name: 'f' });
    const isGone = (): true | undefined => (value() === undefined ? true : undefined);
    await waitFor('the deletion', 5_000, isGone, 10);
  }, 60_000);
});
