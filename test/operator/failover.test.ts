import { resources } from '../../src/crds/resources.js';
import type { KubeNode } from '../../src/operator/failover/fenced-node.js';
import { setUpFailover } from '../../src/operator/failover/failover-controller.js';
import { waitFor } from '../../tools/lib/wait.js';
import { describeOnApiServer } from '../kubernetes/api-server.js';
import { ControllersHarness } from './controllers-harness.js';
import { FakePxCluster } from './fake-px-cluster.js';

const driver = 'pxd.portworx.com';
const nodeNames = ['n1', 'n2', 'n3', 'n4', 'n5'];
const key = 'node.kubernetes.io/out-of-service';

/** Stands in for the kubelets: renews the leases of those that live. */
class Kubelets {
  readonly living = new Set(nodeNames);
  private ended = false;
  private readonly done: Promise<void>;

  constructor(private readonly harness: ControllersHarness) {
    this.done = this.renew();
  }

  async stop(): Promise<void> {
    this.ended = true;
    await this.done;
  }

  private async renew(): Promise<void> {
    while (!this.ended) {
      for (const name of this.living) {
        const spec = { renewTime: `${new Date().toISOString().slice(0, -1)}000Z` };
        const where = { namespace: 'kube-node-lease', name };
        await this.harness.kube.patch(resources.lease, where, { spec });
      }
      await new Promise((resolve) => setTimeout(resolve, 1_000));
    }
  }
}

describeOnApiServer('failover on the real API server', (programs) => {
  let harness: ControllersHarness;
  let kubelets: Kubelets;
  let px: FakePxCluster;
  let operator: { stop(): Promise<void> } | undefined;

  beforeAll(async () => {
    harness = await ControllersHarness.start(programs);
    await waitFor('namespace of leases', 30_000, async () =>
      harness.get(resources.namespace, 'kube-node-lease'),
    );
    await harness.createCluster({ annotations: { 'px.io/failover-seconds': '15' } });
    for (const name of nodeNames) {
      await harness.createNode(name);
      await harness.create(resources.lease, {
        metadata: { name, namespace: 'kube-node-lease' },
        // Renewed each second: a quarter of the duration.
        spec: { holderIdentity: name, leaseDurationSeconds: 4 },
      });
    }
    kubelets = new Kubelets(harness);
  }, 90_000);

  afterAll(async () => {
    await kubelets.stop().finally(() => harness.stop());
  });

  beforeEach(async () => {
    px = new FakePxCluster();
    for (const name of nodeNames) {
      px.addNode(name);
      kubelets.living.add(name);
    }
    operator = await harness.run(px, [setUpFailover]);
  });

  afterEach(async () => {
    await operator?.stop();
    await harness.server.kubectl(['delete', 'pods', '-A', '--all', '--force', '--grace-period=0']);
    await harness.server.kubectl(['delete', 'pvc', '-A', '--all', '--wait=false']);
    await harness.server.kubectl(['delete', 'volumeattachments,pv', '--all', '--wait=false']);
  });

  /** A pod on a node with a bound claim of the driver, attached. */
  async function workload(name: string, node: string, csiDriver = driver): Promise<void> {
    await harness.create(resources.persistentVolume, {
      metadata: { name: `pv-${name}` },
      spec: {
        capacity: { storage: '1Gi' },
        accessModes: ['ReadWriteOnce'],
        csi: { driver: csiDriver, volumeHandle: `handle-${name}` },
        claimRef: { namespace: 'default', name: `claim-${name}` },
      },
    });
    await harness.create(resources.persistentVolumeClaim, {
      metadata: { name: `claim-${name}`, namespace: 'default' },
      spec: {
        accessModes: ['ReadWriteOnce'],
        resources: { requests: { storage: '1Gi' } },
        volumeName: `pv-${name}`,
        storageClassName: '',
      },
    });
    await harness.create(resources.pod, {
      metadata: { name, namespace: 'default' },
      spec: {
        nodeName: node,
        containers: [{ name: 'app', image: 'app' }],
        volumes: [{ name: 'data', persistentVolumeClaim: { claimName: `claim-${name}` } }],
      },
      status: { phase: 'Running' },
    });
    await harness.create(resources.volumeAttachment, {
      metadata: { name: `attachment-${name}` },
      spec: {
        attacher: csiDriver,
        nodeName: node,
        source: { persistentVolumeName: `pv-${name}` },
      },
    });
  }

  const pod = (name: string) => harness.get(resources.pod, name, 'default');
  const attachment = (name: string) =>
    harness.get(resources.volumeAttachment, `attachment-${name}`);
  const node = async (name: string): Promise<KubeNode> => {
    const found = await harness.get<KubeNode>(resources.node, name);
    if (found === undefined) throw new Error(`no node ${name}`);
    return found;
  };
  const outOfService = async (name: string) =>
    (await node(name)).spec?.taints?.find((taint) => taint.key === key);
  const untilGone = async (what: string, get: () => Promise<unknown>, timeoutMs = 40_000) =>
    waitFor(`end of ${what}`, timeoutMs, async () =>
      (await get()) === undefined ? true : undefined,
    );

  it('moves pods of a node that died, and of no other; takes the node back', async () => {
    await workload('db', 'n1');
    await workload('letters', 'n1');
    await workload('other-driver', 'n1', 'other.csi');
    await workload('cut-off', 'n4');
    await workload('px-away', 'n5');
    px.unfenced = ['db: a replica did not answer'];
    px.fenced = ['handle-letters'];

    // n1 is dead; n4 is only cut off from the API server; on n5 only px is away.
    kubelets.living.delete('n1');
    kubelets.living.delete('n4');
    px.change('n1', { state: 'offline' });
    px.change('n5', { state: 'offline' });

    await harness.waitForEvent('Node', 'n1', 'FencingWaits', 40_000);
    // Kubernetes would still place a replacement there, so nothing goes yet.
    expect(await pod('letters')).toBeDefined();
    const conditions = [{ type: 'Ready', status: 'Unknown' }];
    await harness.setStatus(resources.node, await node('n1'), { conditions });
    await untilGone('the pod whose volume is fenced', () => pod('letters'));
    await untilGone('its attachment', () => attachment('letters'));
    expect(await pod('db')).toBeDefined();
    expect(await attachment('db')).toBeDefined();
    expect(await outOfService('n1')).toBeUndefined();

    px.unfenced = [];
    await untilGone('the pod', () => pod('db'));
    await untilGone('its attachment', () => attachment('db'));
    expect(await outOfService('n1')).toMatchObject({ value: 'px', effect: 'NoExecute' });
    await harness.waitForEvent('Pod', 'db', 'FailedOver');
    await harness.waitForEvent('PersistentVolumeClaim', 'claim-db', 'FailedOver');
    await harness.waitForEvent('Node', 'n1', 'NodeFenced');

    for (const name of ['other-driver', 'cut-off', 'px-away']) {
      expect(await pod(name)).toBeDefined();
      expect(await attachment(name)).toBeDefined();
    }
    expect(new Set(px.calls)).toEqual(new Set(['FenceNode n1']));

    // px alone is not enough to take the node back.
    px.change('n1', { state: 'operational' });
    await new Promise((resolve) => setTimeout(resolve, 3_000));
    expect(await outOfService('n1')).toBeDefined();
    kubelets.living.add('n1');
    await waitFor('end of the taint', 40_000, async () =>
      (await outOfService('n1')) === undefined ? true : undefined,
    );
    expect((await node('n1')).metadata.annotations?.['px.io/fenced']).toBeUndefined();
  }, 150_000);

  it("obeys a user's taint at once, by force, and only once", async () => {
    await workload('shop', 'n2');
    const taint = ['taint', 'node', 'n2', `${key}=nodeshutdown:NoExecute`];
    expect((await harness.server.kubectl(taint)).code).toBe(0);
    const startedAt = performance.now();
    await untilGone('the pod', () => pod('shop'), 10_000);
    await untilGone('its attachment', () => attachment('shop'), 10_000);
    expect(performance.now() - startedAt).toBeLessThan(10_000);
    await waitFor('the mark', 10_000, async () =>
      (await node('n2')).metadata.annotations?.['px.io/fenced'] === 'taint' ? true : undefined,
    );
    expect(px.calls).toEqual(['FenceNode n2 force']);
    expect(await outOfService('n2')).toMatchObject({ value: 'nodeshutdown' });

    await harness.server.kubectl(['taint', 'node', 'n2', `${key}-`]);
    await waitFor('end of the mark', 30_000, async () =>
      (await node('n2')).metadata.annotations?.['px.io/fenced'] === undefined ? true : undefined,
    );
    expect(px.calls).toEqual(['FenceNode n2 force']);
  }, 90_000);

  it('goes on where an operator died: the mark is there, the pods are not moved', async () => {
    await workload('bank', 'n3');
    kubelets.living.delete('n3');
    px.change('n3', { state: 'offline' });
    await operator?.stop();
    await harness.kube.patch(
      resources.node,
      { name: 'n3' },
      {
        metadata: { annotations: { 'px.io/fenced': 'dead' } },
        spec: { taints: [{ key, value: 'px', effect: 'NoExecute' }] },
      },
    );
    operator = await harness.run(px, [setUpFailover]);
    await untilGone('the pod', () => pod('bank'), 10_000);
    await untilGone('its attachment', () => attachment('bank'), 10_000);
    kubelets.living.add('n3');
    px.change('n3', { state: 'operational' });
    await waitFor('end of the taint', 40_000, async () =>
      (await outOfService('n3')) === undefined ? true : undefined,
    );
  }, 120_000);

  it('leaves everything alone when most nodes fall silent at once', async () => {
    await workload('mail', 'n1');
    for (const name of ['n1', 'n2', 'n3']) {
      kubelets.living.delete(name);
      px.change(name, { state: 'offline' });
    }
    await harness.waitForEvent('Node', 'n1', 'FailoverHeld', 40_000);
    expect(px.calls).toEqual([]);
    expect(await pod('mail')).toBeDefined();
    expect(await outOfService('n1')).toBeUndefined();
  }, 90_000);
});
