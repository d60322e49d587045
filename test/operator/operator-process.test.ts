import { spawn, type ChildProcess } from 'node:child_process';
import { createWriteStream } from 'node:fs';
import { mkdtemp, readFile, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { freePort } from '../../src/platform/testing-ports.js';
import { tryRun } from '../../tools/lib/run.js';
import { waitFor } from '../../tools/lib/wait.js';
import { ApiServer, describeOnApiServer } from '../kubernetes/api-server.js';

const program = path.join(process.cwd(), 'dist/src/operator/main.js');
const namespace = 'portworx';

const cluster = (spec: object) =>
  JSON.stringify({
    apiVersion: 'core.libopenstorage.org/v1',
    kind: 'StorageCluster',
    metadata: { name: 'px', namespace },
    spec,
  });

/** `px-operator` as its container starts it, against the real API server. */
describeOnApiServer('px-operator as a process', (programs) => {
  let dir: string;
  let api: ApiServer;
  const running: Operator[] = [];

  interface Operator {
    readonly name: string;
    readonly port: number;
    readonly child: ChildProcess;
    readonly ended: Promise<number | null>;
    log(): Promise<string>;
  }

  beforeAll(async () => {
    dir = await mkdtemp(path.join(tmpdir(), 'px-operator-'));
    api = await ApiServer.start({ dir, programs });
    const applied = await once('apply-crds');
    expect(applied).toMatchObject({ code: 0, stderr: '' });
    expect((await api.kubectl(['create', 'namespace', namespace])).code).toBe(0);
  }, 90_000);

  afterEach(async () => {
    for (const { child, ended } of running.splice(0)) {
      child.kill('SIGKILL');
      await ended;
    }
    await api.kubectl([
      ...['patch', 'stc', 'px', '-n', namespace, '--type=merge'],
      ...['-p', '{"metadata":{"finalizers":[]}}'],
    ]);
    await api.kubectl(['delete', 'stc', '--all', '-n', namespace]);
    await api.kubectl(['delete', 'lease', '--all', '-n', namespace]);
  }, 60_000);

  afterAll(async () => {
    await api.stop();
    await rm(dir, { recursive: true, force: true });
  });

  const common = (): string[] => ['--kubeconfig', api.kubeconfig, '--namespace', namespace];

  const once = (...args: string[]) =>
    tryRun(process.execPath, [program, ...args, ...common()], { timeoutMs: 60_000 });

  async function start(name: string): Promise<Operator> {
    const port = await freePort();
    const logFile = path.join(dir, `${name}-${port}.log`);
    const flags = ['--health-port', String(port), '--identity', name, '--log-format', 'human'];
    const child = spawn(process.execPath, [program, 'run', ...common(), ...flags], {
      stdio: ['ignore', 'ignore', 'pipe'],
    });
    child.stderr?.pipe(createWriteStream(logFile));
    const ended = new Promise<number | null>((resolve) => child.once('exit', resolve));
    const operator = { name, port, child, ended, log: () => readFile(logFile, 'utf8') };
    running.push(operator);
    await waitFor(`readiness of ${name}`, 30_000, async () =>
      (await get(operator, '/readyz')) === 'ok\n' ? true : undefined,
    );
    return operator;
  }

  const get = async ({ port }: Operator, url: string): Promise<string | undefined> =>
    fetch(`http://127.0.0.1:${port}${url}`).then(
      (answer) => answer.text(),
      () => undefined,
    );

  const leads = async (operator: Operator): Promise<true | undefined> =>
    (await get(operator, '/metrics'))?.includes('\npx_operator_leader 1\n') === true
      ? true
      : undefined;

  const field = async (jsonPath: string): Promise<string> =>
    (await api.kubectl(['get', 'stc', 'px', '-n', namespace, '-o', `jsonpath=${jsonPath}`])).stdout;

  const phase = async (): Promise<string | undefined> =>
    (await field('{.status.phase}')) || undefined;

  test('one leads; when it is killed the other follows, and goes on with the work', async () => {
    const first = await start('one');
    await waitFor('a leader', 10_000, () => leads(first), 100);
    const second = await start('two');
    expect(await leads(second)).toBeUndefined();
    const killedAt = performance.now();
    first.child.kill('SIGKILL');
    await waitFor('a new leader', 20_000, () => leads(second), 100);
    expect(performance.now() - killedAt).toBeLessThan(18_000);
    await api.kubectl(['apply', '-f', '-'], cluster({ stork: { enabled: true } }));
    expect(await waitFor('a phase', 10_000, phase)).toBe('Initializing');
    const unsupported = '{.status.conditions[?(@.type=="FieldsSupported")].message}';
    expect(await field(unsupported)).toContain('spec.stork: ');
  }, 90_000);

  test('an end by SIGTERM gives the lead back at once', async () => {
    const first = await start('one');
    await waitFor('a leader', 10_000, () => leads(first), 100);
    const second = await start('two');
    const endedAt = performance.now();
    first.child.kill('SIGTERM');
    expect(await first.ended).toBe(0);
    await waitFor('a new leader', 10_000, () => leads(second), 100);
    expect(performance.now() - endedAt).toBeLessThan(6_000);
  }, 90_000);

  test('a short absence of the API server is outlived, and nothing is missed', async () => {
    const operator = await start('one');
    await waitFor('a leader', 10_000, () => leads(operator), 100);
    await api.killServer();
    await api.startServer();
    await api.kubectl(['apply', '-f', '-'], cluster({}));
    expect(await waitFor('a phase', 20_000, phase)).toBe('Initializing');
    expect(operator.child.exitCode).toBeNull();
    const log = await operator.log();
    expect(log).not.toContain('defect');
  }, 90_000);

  test('a leader that cannot reach the API server ends before another may lead', async () => {
    const operator = await start('one');
    await waitFor('a leader', 10_000, () => leads(operator), 100);
    await api.killServer();
    const killedAt = performance.now();
    expect(await operator.ended).toBe(1);
    expect(performance.now() - killedAt).toBeLessThan(12_000);
    expect(await operator.log()).toContain('another operator may act now');
    await api.startServer();
  }, 90_000);

  test('prepare-delete deletes a StorageCluster that an operator serves', async () => {
    const operator = await start('one');
    await waitFor('a leader', 10_000, () => leads(operator), 100);
    await api.kubectl(['apply', '-f', '-'], cluster({}));
    await waitFor('a finalizer', 10_000, async () =>
      (await field('{.metadata.finalizers}')).includes('operator.libopenstorage.org/delete')
        ? true
        : undefined,
    );
    const done = await once('prepare-delete', '--timeout', '30');
    expect(done).toMatchObject({ code: 0, stderr: '' });
    expect(done.stdout).toContain('every StorageCluster is deleted');
    expect((await once('prepare-delete')).stdout).toContain('there is no StorageCluster');
  }, 90_000);

  test('prepare-delete says what it waits for when nobody deletes', async () => {
    const spec = { apiVersion: 'core.libopenstorage.org/v1', kind: 'StorageCluster' };
    const metadata = { name: 'px', namespace, finalizers: ['operator.libopenstorage.org/delete'] };
    await api.kubectl(['apply', '-f', '-'], JSON.stringify({ ...spec, metadata }));
    const late = await once('prepare-delete', '--timeout', '2');
    expect(late.code).toBe(1);
    expect(late.stderr).toMatch(/after 2 s the deletion is still at work: px: .*uninstall again/);
  }, 30_000);

  describe('prepare-delete refuses, and deletes nothing,', () => {
    const volume = {
      apiVersion: 'v1',
      kind: 'PersistentVolume',
      metadata: { name: 'pv-1' },
      spec: {
        capacity: { storage: '1Gi' },
        accessModes: ['ReadWriteOnce'],
        claimRef: { namespace: 'shop', name: 'orders' },
        csi: { driver: 'pxd.portworx.com', volumeHandle: 'v1' },
      },
    };
    const attachment = {
      apiVersion: 'storage.k8s.io/v1',
      kind: 'VolumeAttachment',
      metadata: { name: 'va-1' },
      spec: {
        attacher: 'pxd.portworx.com',
        nodeName: 'node-1',
        source: { persistentVolumeName: 'pv-1' },
      },
    };

    afterEach(async () => {
      await api.kubectl(['delete', 'volumeattachment', '--all']);
      await api.kubectl(['patch', 'pv', 'pv-1', '-p', '{"metadata":{"finalizers":null}}']);
      await api.kubectl(['delete', 'pv', '--all', '--wait=false']);
    });

    test.each<[string, object, object, RegExp]>([
      ['while volumes are in use', {}, attachment, /in use: pv-1 on node-1.*delete the pods/],
      [
        'when claims would lose their data',
        { deleteStrategy: { type: 'UninstallAndWipe' } },
        volume,
        /claims would be lost: shop\/orders/,
      ],
    ])(
      '%s',
      async (_when, spec, object, message) => {
        const made = await api.kubectl(['apply', '-f', '-'], JSON.stringify(object));
        expect(made.stderr).toBe('');
        await api.kubectl(['apply', '-f', '-'], cluster(spec));
        const refused = await once('prepare-delete', '--timeout', '5');
        expect(refused.code).toBe(1);
        expect(refused.stderr).toMatch(message);
        expect(await field('{.metadata.deletionTimestamp}')).toBe('');
        expect(await field('{.metadata.name}')).toBe('px');
      },
      30_000,
    );
  });
});
