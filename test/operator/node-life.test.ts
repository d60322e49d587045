import { resources } from '../../src/crds/resources.js';
import type { StorageNode } from '../../src/crds/storage-node.js';
import type { Pool__Output } from '../../src/gen/px/v1/Pool.js';
import type { KubeNode } from '../../src/operator/failover/fenced-node.js';
import type { KubeObject } from '../../src/operator/ports.js';
import { setUpRollout } from '../../src/operator/rollout/rollout-controller.js';
import { setUpStorageNodes } from '../../src/operator/storage-node/storage-node-controller.js';
import { setUpVolumeHealth } from '../../src/operator/volume-health/volume-health-controller.js';
import { stopJobName } from '../../src/operator/storage-cluster/components/wiper.js';
import { waitFor } from '../../tools/lib/wait.js';
import { describeOnApiServer } from '../kubernetes/api-server.js';
import { ControllersHarness, namespace } from './controllers-harness.js';
import { FakeDaemonSet } from './fake-daemon-set.js';
import { FakePxCluster } from './fake-px-cluster.js';

const nodeNames = ['n1', 'n2', 'n3'];
const setUps = [setUpRollout, setUpStorageNodes, setUpVolumeHealth];
const gib = 1024 ** 3;

function pool(replicas: number): Pool__Output {
  return {
    id: 'p1',
    class: 'high',
    state: 'online',
    total_bytes: String(100 * gib),
    used_bytes: String(gib),
    replica_count: replicas,
  } as unknown as Pool__Output;
}

describeOnApiServer('the life of nodes on the real API server', (programs) => {
  let harness: ControllersHarness;
  let px: FakePxCluster;
  let daemonSet: FakeDaemonSet;
  let operator: { stop(): Promise<void> } | undefined;

  beforeAll(async () => {
    harness = await ControllersHarness.start(programs);
    px = new FakePxCluster();
    for (const name of nodeNames) {
      await harness.createNode(name);
      px.addNode(name, { pools: [pool(2)] });
    }
    const data = Object.fromEntries(nodeNames.map((name) => [`${name}.json`, '{}']));
    await harness.create(resources.configMap, { metadata: { name: 'px-config', namespace }, data });
    await harness.createCluster();
    // What the DaemonSet's node affinity says.
    daemonSet = new FakeDaemonSet(harness, px, async () =>
      (await harness.kube.list<KubeNode>(resources.node))
        .filter(({ metadata }) => metadata.labels?.['px.io/decommissioned'] === undefined)
        .map(({ metadata }) => metadata.name),
    );
    await daemonSet.start('one');
    operator = await harness.run(px, setUps);
  }, 90_000);

  afterAll(async () => {
    await operator?.stop();
    await daemonSet.stop().finally(() => harness.stop());
  });

  const storageNode = async (name: string) =>
    harness.get<StorageNode>(resources.storageNode, name, namespace);
  const untilPhase = async (name: string, phase: string) =>
    waitFor(`phase ${phase} of ${name}`, 40_000, async () => {
      const node = await storageNode(name);
      return node?.status?.phase === phase ? node : undefined;
    });
  const annotate = async (name: string, annotations: object): Promise<KubeObject> =>
    harness.kube.patch<KubeObject>(
      resources.storageNode,
      { namespace, name },
      { metadata: { annotations } },
    );
  const untilRunning = async (templates: Readonly<Record<string, string>>) =>
    waitFor(`pods ${JSON.stringify(templates)}`, 60_000, async () => {
      const pods = await daemonSet.pods();
      const found: Record<string, unknown> = {};
      for (const { spec, metadata } of pods) {
        found[spec?.nodeName ?? ''] = metadata.labels?.['controller-revision-hash'];
      }
      return JSON.stringify(sorted(found)) === JSON.stringify(sorted(templates)) ? true : undefined;
    });

  it('mirrors each node, and writes nothing when nothing changes', async () => {
    const node = await untilPhase('n1', 'Online');
    expect(node.status).toMatchObject({
      nodeUid: 'px-n1',
      storage: { totalSize: '100Gi', usedSize: '1Gi' },
      network: { dataIP: '10.0.0.1' },
      geography: { zone: 'zone-1' },
    });
    expect(node.spec).toEqual({ version: '1.0.0' });
    const printed = await harness.server.kubectl(['get', 'sn', '-n', namespace]);
    expect(printed.stdout).toMatch(/n1 +px-n1 +Online +1\.0\.0/);

    for (const name of nodeNames) await untilPhase(name, 'Online');
    const before = (await storageNode('n1'))?.metadata.resourceVersion;
    // A relaxed pass comes every 20 s.
    await new Promise((resolve) => setTimeout(resolve, 25_000));
    expect((await storageNode('n1'))?.metadata.resourceVersion).toBe(before);
  }, 90_000);

  it('says of each node that the kvdb is away, and keeps what is known of it', async () => {
    px.kvdbAway = true;
    for (const name of nodeNames) {
      const { status } = await untilPhase(name, 'NotInQuorum');
      expect(status).toMatchObject({ nodeUid: `px-${name}`, storage: { totalSize: '100Gi' } });
      expect(status?.conditions).toContainEqual(
        expect.objectContaining({
          ...{ type: 'NodeKVDB', status: 'False', reason: 'Unreachable' },
          message: 'etcd does not answer',
        }),
      );
    }
    px.kvdbAway = false;
    for (const name of nodeNames) await untilPhase(name, 'Online');
  }, 90_000);

  it('rolls one node after the other, only while px allows it, also over its own restart', async () => {
    px.mayNotStop.set('n2', 'volume db would lose its last replica');
    daemonSet.made.length = 0;
    await daemonSet.roll('two');
    await untilRunning({ n1: 'two', n2: 'one', n3: 'two' });
    await operator?.stop();
    operator = await harness.run(px, setUps);
    await new Promise((resolve) => setTimeout(resolve, 7_000));
    expect(daemonSet.made).toEqual(['n1 two', 'n3 two']);

    px.mayNotStop.clear();
    await untilRunning({ n1: 'two', n2: 'two', n3: 'two' });
    expect(daemonSet.made).toEqual(['n1 two', 'n3 two', 'n2 two']);
    for (const name of nodeNames) await untilPhase(name, 'Online');
  }, 120_000);

  it('waits for replicas to be in sync before the next node', async () => {
    daemonSet.made.length = 0;
    px.addVolume('db', 'degraded', ['n1', 'n2'], ['resync', 'in_sync']);
    await daemonSet.roll('three');
    await untilRunning({ n1: 'three', n2: 'two', n3: 'two' });
    await new Promise((resolve) => setTimeout(resolve, 15_000));
    expect(daemonSet.made).toEqual(['n1 three']);
    px.addVolume('db', 'up', ['n1', 'n2'], ['in_sync', 'in_sync']);
    await untilRunning({ n1: 'three', n2: 'three', n3: 'three' });
  }, 150_000);

  it('stops a roll-out that fails, says why, and goes on with the next template', async () => {
    daemonSet.made.length = 0;
    daemonSet.broken.add('broken');
    await daemonSet.roll('broken');
    await harness.waitForEvent('StorageCluster', 'px', 'UpdateFailing', 40_000);
    await new Promise((resolve) => setTimeout(resolve, 7_000));
    expect(daemonSet.made).toHaveLength(1);
    const failed = daemonSet.made[0]?.split(' ')[0] ?? '';
    await untilPhase(failed, 'Failed');

    await daemonSet.roll('four');
    await untilRunning({ n1: 'four', n2: 'four', n3: 'four' });
    // The one that failed is the first, as it serves nothing.
    expect(daemonSet.made.slice(0, 2)).toEqual([`${failed} broken`, `${failed} four`]);
    expect(daemonSet.made).toHaveLength(4);
    await untilPhase(failed, 'Online');
  }, 150_000);

  it('tells the owner of a claim how its volume is, once a change', async () => {
    await harness.create(resources.persistentVolume, {
      metadata: { name: 'pv-db' },
      spec: {
        capacity: { storage: '1Gi' },
        accessModes: ['ReadWriteOnce'],
        csi: { driver: 'pxd.portworx.com', volumeHandle: 'db' },
        claimRef: { namespace: 'default', name: 'claim-db' },
      },
    });
    px.addVolume('db', 'degraded', ['n1', 'n2'], ['in_sync', 'out']);
    // The nodes' change is what makes the operator look at the volumes.
    px.change('n2', { state: 'degraded', state_reason: 'a drive fails' });
    await harness.waitForEvent('PersistentVolumeClaim', 'claim-db', 'VolumeDegraded', 60_000);
    px.addVolume('db', 'up', ['n1', 'n2'], ['in_sync', 'in_sync']);
    px.change('n2', { state: 'operational', state_reason: '' });
    await harness.waitForEvent('PersistentVolumeClaim', 'claim-db', 'VolumeRecovered', 60_000);
    const reasons = await harness.eventReasons('PersistentVolumeClaim', 'claim-db');
    expect([...reasons].sort()).toEqual(['VolumeDegraded', 'VolumeRecovered']);
  }, 150_000);

  it('puts a node in maintenance while its annotation says so', async () => {
    px.calls.length = 0;
    await annotate('n3', { 'px.io/maintenance': 'true' });
    await untilPhase('n3', 'Maintenance');
    await annotate('n3', { 'px.io/maintenance': null });
    await untilPhase('n3', 'Online');
    expect(px.calls).toEqual(['SetMaintenance n3 enter', 'SetMaintenance n3 exit']);
  }, 90_000);

  it('moves replicas away on request, and a request that is taken back is cancelled', async () => {
    px.calls.length = 0;
    px.change('n3', { pools: [pool(100)] });
    await annotate('n3', { 'px.io/drain-replicas': 'true' });
    await waitFor('progress', 30_000, async () =>
      (await storageNode('n3'))?.status?.decommission?.state === 'Moving' ? true : undefined,
    );
    await annotate('n3', { 'px.io/drain-replicas': null });
    await waitFor('the cancellation', 30_000, async () =>
      (await storageNode('n3'))?.status?.decommission === undefined ? true : undefined,
    );
    expect(px.calls[0]).toBe('DecommissionNode n3 keep');
    expect(px.calls.at(-1)).toBe('CancelDecommission n3');
  }, 90_000);

  it('decommissions a node: replicas first, then its pod, then the node', async () => {
    px.calls.length = 0;
    px.change('n3', { pools: [pool(1)] });
    await annotate('n3', { 'px.io/decommission': 'true' });
    await waitFor(
      'the label',
      60_000,
      async () =>
        (await harness.get(resources.node, 'n3'))?.metadata.labels?.['px.io/decommissioned'],
    );
    // What outlives its pod has not ended yet: forgotten now, it would be fenced while it runs.
    await new Promise((resolve) => setTimeout(resolve, 6_000));
    expect(px.nodes.has('n3')).toBe(true);
    await harness.create(resources.job, stopJob('n3'));
    await waitFor('end of the StorageNode', 60_000, async () =>
      (await storageNode('n3')) === undefined ? true : undefined,
    );
    expect(px.nodes.has('n3')).toBe(false);
    expect(px.calls.at(-1)).toBe('DecommissionNode n3');
    expect(px.calls.slice(0, -1).every((call) => call === 'DecommissionNode n3 keep')).toBe(true);
    const node = await harness.get(resources.node, 'n3');
    expect(node?.metadata.labels?.['px.io/decommissioned']).toBe('true');
    await untilRunning({ n1: 'four', n2: 'four' });
    // It is not made again.
    await new Promise((resolve) => setTimeout(resolve, 6_000));
    expect(await storageNode('n3')).toBeUndefined();
  }, 120_000);

  it('forgets nothing of a node whose Kubernetes node is gone, and says what to do', async () => {
    await daemonSet.stop();
    await harness.kube.delete(resources.node, { name: 'n2' });
    await harness.server.kubectl([
      ...['delete', 'pod', '-n', namespace, '--field-selector=spec.nodeName=n2'],
      ...['--force', '--grace-period=0'],
    ]);
    px.change('n2', { state: 'offline' });
    const node = await waitFor('phase Offline of n2', 60_000, async () => {
      const found = await storageNode('n2');
      return found?.status?.phase === 'Offline' ? found : undefined;
    });
    expect(node.status?.reason).toMatch(/pxctl cluster delete n2/);
    expect(node.status).toMatchObject({ nodeUid: 'px-n2', storage: { totalSize: '100Gi' } });
  }, 90_000);
});

function sorted(map: Readonly<Record<string, unknown>>): readonly [string, unknown][] {
  return Object.entries(map).sort(([a], [b]) => (a < b ? -1 : 1));
}

/** As the operator makes it, with the end that the kubelet and the Job controller would bring. */
function stopJob(node: string): object {
  const pod = { restartPolicy: 'OnFailure', containers: [{ name: 'px-stop', image: 'px' }] };
  return {
    metadata: {
      name: stopJobName(node),
      namespace,
      labels: { 'app.kubernetes.io/managed-by': 'px-operator' },
    },
    spec: { template: { spec: pod } },
    status: { succeeded: 1 },
  };
}
