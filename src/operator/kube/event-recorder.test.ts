import { silentLogger } from '../../platform/logger.js';
import type { EventNote, KubeObject } from '../ports.js';
import { KubeEventRecorder } from './event-recorder.js';
import { HttpKubeApi } from './kube-api.js';
import { KubeHttp } from './kube-http.js';
import { status, TestingApiServer } from './testing-api-server.js';

const cluster: KubeObject = {
  apiVersion: 'core.libopenstorage.org/v1',
  kind: 'StorageCluster',
  metadata: { name: 'c', namespace: 'px', uid: 'u', resourceVersion: '7' },
};
const note: EventNote = { type: 'Warning', reason: 'NodeDown', message: 'node a is down' };

describe('KubeEventRecorder', () => {
  let server: TestingApiServer;
  let http: KubeHttp;

  beforeEach(async () => {
    server = await TestingApiServer.start();
    http = new KubeHttp({ server: server.url, tls: {}, authorization: async () => undefined });
  });

  afterEach(async () => {
    http.close();
    await server.stop();
  });

  function recorder(timing: { seriesEveryMs?: number; forgetAfterMs?: number } = {}) {
    const kube = new HttpKubeApi(http);
    return new KubeEventRecorder({
      ...{ kube, logger: silentLogger, instance: 'pod-1' },
      ...{ seriesEveryMs: 60_000, forgetAfterMs: 60_000, ...timing },
    });
  }

  const created = () => server.requests('POST').map(({ body }) => body);

  test('a note becomes an Event with what events.k8s.io/v1 demands', async () => {
    const events = recorder();
    events.note(cluster, note);
    await events.flush();
    expect(created()).toEqual([
      {
        apiVersion: 'events.k8s.io/v1',
        kind: 'Event',
        metadata: { name: expect.stringMatching(/^c\.[0-9a-f]{12}$/) as string, namespace: 'px' },
        eventTime: expect.stringMatching(/^\d{4}-.*\.\d{6}Z$/) as string,
        reportingController: 'px.io/operator',
        reportingInstance: 'pod-1',
        action: 'Reconcile',
        type: 'Warning',
        reason: 'NodeDown',
        note: 'node a is down',
        regarding: {
          apiVersion: 'core.libopenstorage.org/v1',
          kind: 'StorageCluster',
          name: 'c',
          namespace: 'px',
          uid: 'u',
          resourceVersion: '7',
        },
      },
    ]);
  });

  test('repeats are one series, written together', async () => {
    const events = recorder();
    for (let count = 0; count < 50; count += 1) events.note(cluster, note);
    await events.flush();
    expect(created()).toHaveLength(1);
    expect(server.requests('PATCH').map(({ body }) => body)).toEqual([
      { series: { count: 50, lastObservedTime: expect.any(String) as string } },
    ]);
  });

  test('a series is written by itself after a while', async () => {
    const events = recorder({ seriesEveryMs: 20 });
    events.note(cluster, note);
    events.note(cluster, note);
    await new Promise((resolve) => setTimeout(resolve, 40));
    await events.flush();
    expect(server.requests('PATCH')).toHaveLength(1);
  });

  test('another message, object or type is another Event', async () => {
    const events = recorder();
    events.note(cluster, note);
    events.note(cluster, { ...note, message: 'node b is down' });
    events.note(cluster, { ...note, type: 'Normal' });
    events.note({ ...cluster, metadata: { name: 'n', uid: 'v' } }, note);
    await events.flush();
    expect(created()).toHaveLength(4);
    expect(created()[3]).toMatchObject({ metadata: { namespace: 'default' } });
  });

  test('what was not said for long is said anew', async () => {
    const events = recorder({ forgetAfterMs: -1 });
    events.note(cluster, note);
    events.note(cluster, note);
    await events.flush();
    expect(created()).toHaveLength(2);
  });

  test('an Event that the server refuses is no trouble, and no series follows it', async () => {
    const events = recorder();
    server.instead.push(() => status(403, 'Forbidden', 'the namespace is being deleted'));
    events.note(cluster, note);
    events.note(cluster, note);
    await events.flush();
    expect(server.requests('PATCH')).toHaveLength(0);
  });

  test('a long message is cut to what the API takes', async () => {
    const events = recorder();
    events.note(cluster, { ...note, message: 'x'.repeat(5_000) });
    await events.flush();
    expect((created()[0] as { note: string }).note).toHaveLength(1_024);
  });
});
