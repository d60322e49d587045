import { resources } from '../../crds/resources.js';
import type { KubeObject } from '../ports.js';
import { HttpKubeApi } from './kube-api.js';
import { KubeHttp } from './kube-http.js';
import { status, TestingApiServer } from './testing-api-server.js';

const path = '/api/v1/namespaces/px/configmaps';
const name = { namespace: 'px', name: 'a' };

function configMap(objectName: string, data: Record<string, string> = {}): KubeObject {
  return {
    ...{ apiVersion: 'v1', kind: 'ConfigMap', data },
    metadata: { name: objectName, namespace: 'px' },
  };
}

describe('HttpKubeApi', () => {
  let server: TestingApiServer;
  let http: KubeHttp;
  let api: HttpKubeApi;

  beforeEach(async () => {
    server = await TestingApiServer.start();
    http = new KubeHttp({ server: server.url, tls: {}, authorization: async () => 'Bearer t' });
    api = new HttpKubeApi(http);
  });

  afterEach(async () => {
    http.close();
    await server.stop();
  });

  test('absence is undefined, presence is the object', async () => {
    expect(await api.get(resources.configMap, name)).toBeUndefined();
    server.put(path, configMap('a'));
    expect(await api.get(resources.configMap, name)).toMatchObject({ metadata: { name: 'a' } });
  });

  test('a namespaced object without its namespace is a defect of ours', async () => {
    await expect(api.get(resources.configMap, { name: 'a' })).rejects.toMatchObject({
      code: 'internal',
    });
  });

  test('a list comes in pages, whole, and each item says what it is', async () => {
    for (let index = 0; index < 1_203; index += 1) server.put(path, configMap(`m${index}`));
    const items = await api.list(resources.configMap, { namespace: 'px' });
    expect(items).toHaveLength(1_203);
    expect(new Set(items.map(({ metadata }) => metadata.name)).size).toBe(1_203);
    expect(items[0]).toMatchObject({ apiVersion: 'v1', kind: 'ConfigMap' });
    expect(server.requests('GET')).toHaveLength(3);
  });

  test('a list whose next page is forgotten is asked for as a whole', async () => {
    for (let index = 0; index < 700; index += 1) server.put(path, configMap(`m${index}`));
    server.instead.push((request) =>
      request.url.searchParams.has('continue') ? status(410, 'Expired', 'too old') : undefined,
    );
    expect(await api.list(resources.configMap, { namespace: 'px' })).toHaveLength(700);
  });

  test('selectors go along', async () => {
    await api.list(resources.pod, { labelSelector: 'a=b', fieldSelector: 'spec.nodeName=n' });
    const { url } = server.seen[0];
    expect(url.pathname).toBe('/api/v1/pods');
    expect(url.searchParams.get('labelSelector')).toBe('a=b');
    expect(url.searchParams.get('fieldSelector')).toBe('spec.nodeName=n');
  });

  test.each(['apply', 'applyStatus'] as const)('%s is a forced server-side apply', async (verb) => {
    server.put(verb === 'apply' ? path : `${path}/a`, configMap(verb === 'apply' ? 'a' : 'status'));
    await api[verb](resources.configMap, configMap('a', { key: 'value' })).catch(() => undefined);
    const [request] = server.requests('PATCH');
    expect(request?.url.pathname).toBe(`${path}/a${verb === 'apply' ? '' : '/status'}`);
    expect(request?.contentType).toBe('application/apply-patch+yaml');
    expect(request?.url.searchParams.get('fieldManager')).toBe('px-operator');
    expect(request?.url.searchParams.get('force')).toBe('true');
    expect(request?.body).toMatchObject({ data: { key: 'value' } });
  });

  test.each<[number, string, string]>([
    [400, 'BadRequest', 'invalid_argument'],
    [422, 'Invalid', 'invalid_argument'],
    [403, 'Forbidden', 'permission_denied'],
    [404, 'NotFound', 'not_found'],
    [409, 'Conflict', 'aborted'],
    [409, 'AlreadyExists', 'already_exists'],
    [429, 'TooManyRequests', 'unavailable'],
    [500, 'InternalError', 'unavailable'],
    [504, 'Timeout', 'unavailable'],
  ])(
    'an answer of %d %s is %s, with what was asked and what was said',
    async (code, reason, is) => {
      server.instead.push(() => status(code, reason, 'because'));
      await expect(api.create(resources.configMap, configMap('a'))).rejects.toMatchObject({
        code: is,
        message: 'create ConfigMap px/a: because',
      });
    },
  );

  test('what may be done twice is tried again after a broken connection or a 503', async () => {
    server.put(path, configMap('a'));
    server.instead.push(
      () => 'cut',
      () => status(503, 'ServiceUnavailable', 'starting'),
    );
    expect(await api.get(resources.configMap, name)).toBeDefined();
    expect(server.requests('GET')).toHaveLength(3);
  });

  test('a create is not tried again: it may have been done', async () => {
    server.instead.push(() => 'cut');
    await expect(api.create(resources.configMap, configMap('a'))).rejects.toMatchObject({
      code: 'unavailable',
    });
    expect(server.requests('POST')).toHaveLength(1);
  });

  test('a rejected token is read anew, once', async () => {
    const asked: boolean[] = [];
    const other = new KubeHttp({
      server: server.url,
      tls: {},
      authorization: async (fresh) => {
        asked.push(fresh);
        return 'Bearer t';
      },
    });
    server.put(path, configMap('a'));
    server.instead.push(() => status(401, 'Unauthorized', 'expired'));
    expect(await new HttpKubeApi(other).get(resources.configMap, name)).toBeDefined();
    expect(asked).toEqual([false, true]);
    other.close();
  });

  test('delete tells whether there was something, and spares another of the same name', async () => {
    const { uid = '' } = server.put(path, configMap('a')).metadata;
    expect(await api.delete(resources.configMap, name, { uid: 'older' })).toBe(false);
    expect(await api.delete(resources.configMap, name, { uid })).toBe(true);
    expect(await api.delete(resources.configMap, name)).toBe(false);
  });

  test('a patch is conditional when it names a version', async () => {
    const { resourceVersion } = server.put(path, configMap('a')).metadata;
    server.put(path, configMap('a'));
    const patch = { metadata: { resourceVersion, labels: { a: 'b' } } };
    await expect(api.patch(resources.configMap, name, patch)).rejects.toMatchObject({
      code: 'aborted',
    });
  });
});
