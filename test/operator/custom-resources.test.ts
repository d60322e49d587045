import { mkdtemp, readdir, readFile, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { parse, stringify } from 'yaml';
import { unsupportedFields } from '../../src/crds/unsupported-fields.js';
import { ApiServer, describeOnApiServer } from '../kubernetes/api-server.js';

const examples = path.join(process.cwd(), 'test/operator/storage-clusters');

const cluster = (spec: object, metadata: object = {}): string =>
  stringify({
    apiVersion: 'core.libopenstorage.org/v1',
    kind: 'StorageCluster',
    metadata: { name: 'px', namespace: 'default', ...metadata },
    spec,
  });

const policy = (spec: object): string =>
  stringify({
    apiVersion: 'core.libopenstorage.org/v1',
    kind: 'StoragePolicy',
    metadata: { name: 'gold' },
    spec,
  });

describeOnApiServer('the custom resources on the real API server', (programs) => {
  let dir: string;
  let api: ApiServer;

  beforeAll(async () => {
    dir = await mkdtemp(path.join(tmpdir(), 'px-crds-'));
    api = await ApiServer.start({ dir, programs });
    const applied = await api.kubectl(['apply', '--server-side', '-f', 'deploy/crds']);
    expect(applied.stderr).not.toMatch(/error|warning/i);
    const kinds = ['storageclusters', 'storagenodes', 'storagepolicies'];
    const names = kinds.map((kind) => `crd/${kind}.core.libopenstorage.org`);
    const waited = await api.kubectl(['wait', '--for=condition=Established', ...names]);
    expect(waited.code).toBe(0);
    const problems = await api.kubectl([
      'get',
      'crd',
      '-o',
      'jsonpath={.items[*].status.conditions[?(@.type=="NonStructuralSchema")].message}',
    ]);
    expect(problems.stdout).toBe('');
  }, 90_000);

  afterAll(async () => {
    await api.stop();
    await rm(dir, { recursive: true, force: true });
  });

  afterEach(async () => {
    await api.kubectl(['delete', 'stc,stp', '--all', '--all-namespaces']);
  });

  const tryApply = (manifest: string) => api.kubectl(['apply', '-f', '-'], manifest);

  const get = async (...args: string[]): Promise<unknown> =>
    parse((await api.kubectl(['get', ...args, '-o', 'yaml'])).stdout);

  test('every StorageCluster of the kind that people have applies, and nothing of it is lost', async () => {
    const files = await readdir(examples);
    expect(files.length).toBeGreaterThanOrEqual(6);
    for (const file of files) {
      const text = await readFile(path.join(examples, file), 'utf8');
      const written = parse(text) as { spec: object; metadata: { name: string } };
      const applied = await tryApply(text);
      expect(`${file}: ${applied.stderr}`).toBe(`${file}: `);
      const stored = (await get('stc', written.metadata.name)) as { spec: object };
      expect(stored.spec).toMatchObject(written.spec);
    }
  });

  test('defaults are filled in', async () => {
    expect((await tryApply(cluster({}))).stderr).toBe('');
    expect(await get('stc', 'px')).toMatchObject({
      spec: {
        imagePullPolicy: 'IfNotPresent',
        secretsProvider: 'k8s',
        startPort: 9001,
        revisionHistoryLimit: 10,
        updateStrategy: {
          type: 'RollingUpdate',
          rollingUpdate: { maxUnavailable: 1, minReadySeconds: 0 },
        },
        csi: { enabled: true, installSnapshotController: false, topology: { enabled: true } },
      },
    });
  });

  test('an unknown field is kept, so that the operator can name it', async () => {
    const written = { stork: { enabled: false, webhok: true }, nodez: [{ a: 1 }] };
    expect((await tryApply(cluster(written))).stderr).toBe('');
    const stored = (await get('stc', 'px')) as { spec: object };
    expect(unsupportedFields(stored.spec)).toEqual([
      { path: 'nodez', message: 'px does not know this field' },
      { path: 'stork.webhok', message: 'px does not know this field' },
    ]);
  });

  test.each<[object, string]>([
    [
      { storage: { useAll: true }, cloudStorage: { deviceSpecs: ['type=gp3,size=100'] } },
      'storage and cloudStorage exclude each other',
    ],
    [{ storage: { devices: ['sdb'] } }, 'devices must be absolute paths, such as /dev/sdb'],
    [{ kvdb: { endpoints: ['consul:http://a:8500'] } }, 'endpoints must be etcd:http://host:port'],
    [{ kvdb: { endpoints: ['etcd:https://u:p@a:2379'] } }, 'belong into authSecret'],
    [
      { kvdb: { endpoints: ['etcd:https://a:2379', 'etcd:http://b:2379'] } },
      'endpoints must be all http or all https',
    ],
    [
      { kvdb: { internal: true, endpoints: ['etcd:http://a:2379'] } },
      'endpoints belong to an external key-value store',
    ],
    [{ kvdb: { internal: false } }, 'internal is false, so endpoints must name'],
    [{ imagePullPolicy: 'Sometimes' }, 'supported values: "Always", "IfNotPresent", "Never"'],
    [{ updateStrategy: { type: 'Recreate' } }, 'supported values: "RollingUpdate", "OnDelete"'],
    [{ updateStrategy: { rollingUpdate: { maxUnavailable: 0 } } }, 'maxUnavailable'],
    [{ updateStrategy: { rollingUpdate: { maxUnavailable: '200%' } } }, 'maxUnavailable'],
    [{ deleteStrategy: { type: 'Delete' } }, 'supported values: "Uninstall", "UninstallAndWipe"'],
    [{ startPort: 70_000 }, 'should be less than or equal to 65515'],
    [{ nodes: [{ selector: {} }] }, 'nodeName or labelSelector must be set'],
    [{ security: { tls: { rootCA: { filename: 'ca.pem' } } } }, 'filename'],
  ])('a StorageCluster with %j is refused: %s', async (spec, message) => {
    const refused = await tryApply(cluster(spec));
    expect(refused.code).not.toBe(0);
    expect(refused.stderr).toContain(message);
  });

  test('a name that is too long for a label is refused', async () => {
    const refused = await tryApply(cluster({}, { name: 'a'.repeat(64) }));
    expect(refused.stderr).toContain('at most 63 characters');
  });

  const external = { kvdb: { endpoints: ['etcd:http://a:2379'] } };

  test.each<[object, object, string]>([
    [{}, { startPort: 17_001 }, 'startPort cannot change'],
    [{}, external, 'kvdb cannot change from internal to external'],
    [external, {}, 'kvdb cannot be removed'],
    [external, { kvdb: { internal: true } }, 'cannot change between internal and external'],
    [{ kvdb: { internal: true } }, external, 'cannot change between internal and external'],
  ])('a change of %j to %j is refused: %s', async (before, after, message) => {
    expect((await tryApply(cluster(before))).stderr).toBe('');
    const refused = await api.kubectl(['replace', '-f', '-'], cluster(after));
    expect(refused.code).not.toBe(0);
    expect(refused.stderr).toContain(message);
  });

  test.each<[object, object]>([
    [{}, { kvdb: { internal: true } }],
    [external, { kvdb: { internal: false, endpoints: ['etcd:http://b:2379'] } }],
    [{ storage: { useAll: true } }, { storage: { devices: ['/dev/sdb'] } }],
  ])('a change of %j to %j is taken', async (before, after) => {
    expect((await tryApply(cluster(before))).stderr).toBe('');
    expect((await api.kubectl(['replace', '-f', '-'], cluster(after))).stderr).toBe('');
  });

  test('columns and short names are those that users know', async () => {
    await tryApply(cluster({}));
    const status = {
      clusterUid: '7e0d',
      phase: 'Running',
      version: '1.2.3',
      conditions: [{ type: 'Ready', status: 'True', lastTransitionTime: '2026-01-02T03:04:05Z' }],
    };
    const patched = await api.kubectl([
      'patch',
      'stc',
      'px',
      '--subresource=status',
      '--type=merge',
      '-p',
      JSON.stringify({ status }),
    ]);
    expect(patched.stderr).toBe('');
    const listed = await api.kubectl(['get', 'stc', 'px']);
    expect(listed.stdout.split('\n')[0]).toMatch(/^NAME\s+CLUSTER UUID\s+STATUS\s+VERSION\s+AGE$/);
    expect(listed.stdout.split('\n')[1]).toMatch(/^px\s+7e0d\s+Running\s+1\.2\.3\s+\S+$/);
    const nodes = await api.kubectl(['get', 'sn']);
    expect(nodes.stderr).toContain('No resources found');
  });

  test('a StoragePolicy with everything applies', async () => {
    const written = {
      default: true,
      enforcement: 'Reject',
      allowUpdate: true,
      volume: {
        replication: { value: 2, operator: 'Minimum' },
        size: { value: '100Gi', operator: 'Maximum' },
        ioPriority: 'high',
        ioProfile: 'db_remote',
        sticky: true,
        labels: { team: 'a' },
      },
      placement: {
        replicaAntiAffinity: [{ enforcement: 'required', topologyKey: 'zone' }],
        volumeAffinity: [
          {
            enforcement: 'preferred',
            weight: 50,
            matchExpressions: [{ key: 'app', operator: 'In', values: ['pg'] }],
          },
        ],
      },
      snapshotSchedule: {
        interval: { intervalMinutes: 60, retain: 5 },
        weekly: { day: 'sunday', time: '12:00' },
      },
    };
    expect((await tryApply(policy(written))).stderr).toBe('');
    expect(await get('stp', 'gold')).toMatchObject({ spec: written });
  });

  test.each<[object, string]>([
    [{ volume: { replication: { value: 9 } } }, 'less than or equal to 5'],
    [{ volume: { size: { value: 'big' } } }, 'volume.size.value'],
    [{ volume: { size: { value: '1Gi', operator: 'About' } } }, 'supported values: "Equal"'],
    [{ placement: { replicaAffinity: [{}] } }, 'topologyKey or matchExpressions must be set'],
    [
      { placement: { replicaAffinity: [{ topologyKey: 'zone', weight: 5 }] } },
      'weight belongs to preferred rules only',
    ],
    [
      { placement: { replicaAffinity: [{ matchExpressions: [{ key: 'a', operator: 'In' }] }] } },
      'values must be given for In',
    ],
    [{ snapshotSchedule: {} }, 'one of interval, daily, weekly and monthly must be set'],
    [{ snapshotSchedule: { daily: { time: '25:00' } } }, 'snapshotSchedule.daily.time'],
    [{ replicaAffinity: [] }, 'unknown field "spec.replicaAffinity"'],
  ])('a StoragePolicy with %j is refused: %s', async (spec, message) => {
    const refused = await tryApply(policy(spec));
    expect(refused.code).not.toBe(0);
    expect(refused.stderr).toContain(message);
  });
});
