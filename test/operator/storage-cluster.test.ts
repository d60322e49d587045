import { resources } from '../../src/crds/resources.js';
import type { StorageCluster } from '../../src/crds/storage-cluster.js';
import type { KubeObject, Resource } from '../../src/operator/ports.js';
import { setUpStorageCluster } from '../../src/operator/storage-cluster/controller.js';
import { ownedKinds } from '../../src/operator/storage-cluster/owned-kinds.js';
import { waitFor } from '../../tools/lib/wait.js';
import { describeOnApiServer } from '../kubernetes/api-server.js';
import { ControllersHarness, namespace } from './controllers-harness.js';
import { FakePxCluster } from './fake-px-cluster.js';

const patienceMs = 30_000;
const made = 'app.kubernetes.io/managed-by=px-operator';

interface Spec {
  readonly [field: string]: unknown;
}
type Anything = KubeObject & { readonly spec?: Spec; readonly data?: Record<string, string> };

/** No kubelet and no controller: what the operator writes, checked by the real API server alone. */
describeOnApiServer('a StorageCluster on the real API server', (programs) => {
  let harness: ControllersHarness;
  let operator: { stop(): Promise<void> };

  beforeAll(async () => {
    harness = await ControllersHarness.start(programs);
    for (const name of ['n1', 'n2', 'n3']) {
      await harness.create(resources.node, {
        metadata: { name, labels: { 'kubernetes.io/os': 'linux', 'px/zone': `zone-${name}` } },
        status: {
          conditions: [{ type: 'Ready', status: 'True' }],
          addresses: [{ type: 'InternalIP', address: `10.0.0.${name.slice(1)}` }],
        },
      });
      // Nobody is there who would take away the taint of a new node.
      await harness.kube.patch(resources.node, { name }, { spec: { taints: null } });
    }
    await waitFor('kube-system', patienceMs, () => harness.get(resources.namespace, 'kube-system'));
    operator = await harness.run(new FakePxCluster(), [setUpStorageCluster]);
    await harness.createCluster({ spec: { nodes: [] } });
    await object(resources.deployment, 'px-csi-controller');
  }, 90_000);

  afterAll(async () => {
    await operator.stop();
    await harness.stop();
  });

  const where = (resource: Resource) => (resource.namespaced ? namespace : undefined);

  const object = (resource: Resource, name: string): Promise<Anything> =>
    until(`${resource.kind} ${name}`, () => harness.get<Anything>(resource, name, where(resource)));

  function until<T>(what: string, look: () => Promise<T | undefined>): Promise<T> {
    return waitFor(what, patienceMs, look);
  }

  async function listMade(): Promise<string[]> {
    const lists = ownedKinds.map((resource) =>
      harness.kube.list(resource, { labelSelector: made }),
    );
    return (await Promise.all(lists))
      .flat()
      .map(({ kind, metadata }) => `${kind} ${metadata.name}`)
      .sort();
  }

  const condition = (name: string, type: string, status: string) =>
    until(`${name}: ${type} ${status}`, async () => {
      const cluster = await harness.get<StorageCluster>(resources.storageCluster, name, namespace);
      return cluster?.status?.conditions?.find((one) => one.type === type && one.status === status);
    });

  const change = (patch: object) =>
    harness.kube.patch(resources.storageCluster, { namespace, name: 'px' }, patch);

  it('becomes objects that the API server accepts, and says so', async () => {
    expect(await condition('px', 'Applied', 'True')).toMatchObject({ source: 'storage-cluster' });
    expect(await listMade()).toEqual(
      expect.arrayContaining([
        'CSIDriver pxd.portworx.com',
        'ClusterRole px-csi-controller',
        'ConfigMap px-config',
        'ConfigMap px-kvdb',
        'DaemonSet px-csi-node',
        'DaemonSet px-node',
        'Deployment px-csi-controller',
        'PodDisruptionBudget px-node',
        'Service px-api',
        'StorageClass px-csi-db',
        'StorageClass px-csi-replicated',
      ]),
    );
    const { data } = await object(resources.configMap, 'px-config');
    expect(Object.keys(data ?? {})).toEqual(['n1.json', 'n2.json', 'n3.json']);
  }, 60_000);

  it('tells the driver the address of the Service', async () => {
    const { spec } = await object(resources.service, 'px-api');
    const text = JSON.stringify(await object(resources.deployment, 'px-csi-controller'));
    expect(text).toContain(`--node-endpoint=${String(spec?.clusterIP)}:9002`);
  });

  it('has the finalizer, without which a deletion would leave things behind', async () => {
    const cluster = await object(resources.storageCluster, 'px');
    expect(cluster.metadata.finalizers).toContain('operator.libopenstorage.org/delete');
  });

  it('corrects what others change or delete', async () => {
    const service = { namespace, name: 'px-api' };
    await harness.kube.patch(resources.service, service, {
      spec: { selector: { 'app.kubernetes.io/name': 'x' } },
    });
    await until('the selector', async () => {
      const { spec } = await object(resources.service, 'px-api');
      const selector = spec?.selector as Record<string, string> | undefined;
      return selector?.['app.kubernetes.io/name'] === 'px' ? true : undefined;
    });
    const before = await object(resources.csiDriver, 'pxd.portworx.com');
    await harness.kube.delete(resources.csiDriver, { name: 'pxd.portworx.com' });
    const again = await until('a new CSIDriver', async () => {
      const found = await harness.get(resources.csiDriver, 'pxd.portworx.com');
      return found?.metadata.uid === before.metadata.uid ? undefined : found;
    });
    expect(again.metadata.labels).toMatchObject({ 'px.io/cluster': 'px' });
  }, 60_000);

  it('writes nothing while nothing changes', async () => {
    const versions = async () =>
      (
        await Promise.all([
          object(resources.storageCluster, 'px'),
          object(resources.daemonSet, 'px-node'),
          object(resources.configMap, 'px-config'),
        ])
      ).map(({ metadata }) => metadata.resourceVersion);
    const before = await versions();
    // Wakes the controller: its pass must find everything as it should be.
    await harness.create(resources.configMap, {
      metadata: {
        name: 'other',
        namespace,
        labels: { 'app.kubernetes.io/managed-by': 'px-operator' },
      },
    });
    await harness.kube.patch(
      resources.node,
      { name: 'n1' },
      { metadata: { annotations: { a: '1' } } },
    );
    await new Promise((resolve) => setTimeout(resolve, 2_000));
    expect(await versions()).toEqual(before);
  });

  it('removes what the spec no longer asks for, and nothing else', async () => {
    await change({ spec: { csi: { enabled: false } } });
    await until('end of the driver', async () => {
      const found = await listMade();
      return found.some((name) => /csi|CSIDriver|StorageClass/.test(name)) ? undefined : true;
    });
    expect(await harness.get(resources.configMap, 'other', namespace)).toBeDefined();
    expect(await listMade()).toContain('DaemonSet px-node');
    await change({ spec: { csi: { enabled: true } } });
    await object(resources.deployment, 'px-csi-controller');
  }, 60_000);

  it('names fields that have no meaning here', async () => {
    await change({ spec: { stork: { enabled: true } } });
    expect((await condition('px', 'FieldsSupported', 'False')).message).toContain('spec.stork');
    await change({ spec: { stork: null } });
    await condition('px', 'FieldsSupported', 'True');
  }, 60_000);

  it('does nothing while it is paused', async () => {
    const pause = 'operator.libopenstorage.org/reconcile';
    await change({ metadata: { annotations: { [pause]: 'false' } } });
    await condition('px', 'Paused', 'True');
    await harness.kube.delete(resources.podDisruptionBudget, { namespace, name: 'px-node' });
    await new Promise((resolve) => setTimeout(resolve, 1_500));
    const found = await harness.get(resources.podDisruptionBudget, 'px-node', namespace);
    expect(found).toBeUndefined();
    await change({ metadata: { annotations: { [pause]: null } } });
    await object(resources.podDisruptionBudget, 'px-node');
  }, 60_000);

  it('is the only one: a second is told so and left alone', async () => {
    await harness.create(resources.storageCluster, {
      metadata: { name: 'second', namespace },
      spec: {},
    });
    const told = await condition('second', 'Preflight', 'False');
    expect(told.message).toContain('portworx/px is older');
    const second = await object(resources.storageCluster, 'second');
    expect(second.metadata.finalizers ?? []).toEqual([]);
    await harness.kube.delete(resources.storageCluster, { namespace, name: 'second' });
  }, 60_000);

  it('refuses to be uninstalled while a volume is attached', async () => {
    await harness.create(resources.volumeAttachment, {
      metadata: { name: 'attached' },
      spec: {
        attacher: 'pxd.portworx.com',
        nodeName: 'n1',
        source: { persistentVolumeName: 'pv' },
      },
    });
    await change({ spec: { deleteStrategy: { type: 'Uninstall' } } });
    await harness.kube.delete(resources.storageCluster, { namespace, name: 'px' });
    const refused = await condition('px', 'Deletion', 'False');
    expect(refused).toMatchObject({ reason: 'Refused' });
    expect(refused.message).toContain('pv on n1');
    await harness.waitForEvent('StorageCluster', 'px', 'DeletionRefused');
    expect(await listMade()).toContain('DaemonSet px-node');
  }, 60_000);

  it('then removes its objects, has each node wiped, and is gone', async () => {
    await harness.kube.delete(resources.volumeAttachment, { name: 'attached' });
    const jobs = await until('a wiper a node', async () => {
      const found = await harness.kube.list(resources.job, { namespace });
      return found.length === 3 ? found : undefined;
    });
    expect(await listMade()).toEqual([
      'ConfigMap other',
      'ConfigMap px-config',
      'ConfigMap px-kvdb',
      'ServiceAccount px-node',
    ]);
    // Here the Jobs' controller would note that their pods have ended well.
    for (const job of jobs) await harness.setStatus(resources.job, job, { succeeded: 1 });
    await until('end of the StorageCluster', async () => {
      const found = await harness.get(resources.storageCluster, 'px', namespace);
      return found === undefined ? true : undefined;
    });
    // With the data stays where its key-value store lies: the same cluster can be back.
    expect(await listMade()).toEqual(['ConfigMap other', 'ConfigMap px-kvdb']);
    expect(await harness.kube.list(resources.job, { namespace })).toEqual([]);
  }, 60_000);
});
