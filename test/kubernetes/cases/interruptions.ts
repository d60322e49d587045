import type { KubernetesCluster } from '../cluster/cluster.js';
import { check } from '../runner/check.js';
import type { CaseHelpers, KubernetesCase } from '../runner/types.js';
import { ensurePx, pxImages, systemNamespace } from '../px/install-px.js';
import { waitNothingLeft } from '../px/leftovers.js';
import { claim, podWith, snapshotOf, storageClass } from '../px/objects.js';

const className = 'interruptions';
const patienceMs = 180_000;

interface Interruption {
  readonly what: string;
  hit(cluster: KubernetesCluster): Promise<unknown>;
}

const deletePods = (component: string) => (cluster: KubernetesCluster) =>
  cluster.kubectl([
    ...['delete', 'pods', '-n', systemNamespace, '--wait=false'],
    ...['-l', `app.kubernetes.io/component=${component}`],
  ]);

/** kill -9 of a program in every node, in whichever container it runs. */
const killEverywhere = (program: string) => async (cluster: KubernetesCluster) => {
  for (const { name } of cluster.nodes) {
    await cluster.tryNodeExec(name, ['pkill', '-9', '-x', program]);
  }
};

const interruptions: readonly Interruption[] = [
  { what: 'the CSI controller is deleted', hit: deletePods('csi-controller') },
  { what: 'the CSI node plugins are deleted', hit: deletePods('csi-node') },
  { what: 'csi-provisioner is killed', hit: killEverywhere('csi-provisioner') },
  { what: 'csi-attacher is killed', hit: killEverywhere('csi-attacher') },
  {
    what: 'every kubelet is killed',
    hit: async (cluster) => {
      for (const { name } of cluster.nodes) await cluster.killService(name, 'kubelet');
    },
  },
  {
    what: 'every containerd is killed',
    hit: async (cluster) => {
      for (const { name } of cluster.nodes) await cluster.killService(name, 'containerd');
    },
  },
  {
    what: 'the API server is killed',
    hit: (cluster) => cluster.restartControlPlane('kube-apiserver'),
  },
  { what: 'every px-node pod is deleted', hit: deletePods('node') },
];

/** One volume's life, with an interruption in the middle of each step. */
class InterruptedLife {
  constructor(
    private readonly cluster: KubernetesCluster,
    private readonly namespace: string,
    private readonly interruption: Interruption,
  ) {}

  async run(): Promise<void> {
    const { cluster, namespace } = this;
    const spec = { storageClassName: className };
    await this.during(() => cluster.apply(claim(namespace, 'data', spec)));
    await this.becomes('pvc/data', 'jsonpath={.status.phase}=Bound');
    await this.during(() => cluster.apply(podWith(namespace, 'user', 'data')));
    await this.becomes('pod/user', 'condition=Ready');
    await this.inPod('user', 'echo kept > /data/file && sync');
    await this.during(() => cluster.apply(snapshotOf(namespace, 'snap', 'data')));
    await this.becomes('volumesnapshot/snap', 'jsonpath={.status.readyToUse}=true');
    const dataSource = {
      apiGroup: 'snapshot.storage.k8s.io',
      kind: 'VolumeSnapshot',
      name: 'snap',
    };
    const restore = claim(namespace, 'copy', { ...spec, dataSource });
    await this.during(() => cluster.apply(restore, podWith(namespace, 'reader', 'copy')));
    await this.becomes('pod/reader', 'condition=Ready');
    check((await this.inPod('reader', 'cat /data/file')).trim() === 'kept', 'the copy differs');
    const grow = { spec: { resources: { requests: { storage: '2Gi' } } } };
    const patch = ['patch', 'pvc', 'data', '-n', namespace, '--type', 'merge', '-p'];
    await this.during(() => cluster.kubectl([...patch, JSON.stringify(grow)]));
    await this.becomes('pvc/data', 'jsonpath={.status.capacity.storage}=2Gi');
    check((await this.inPod('user', 'cat /data/file')).trim() === 'kept', 'the data is gone');
    const all = ['pod,volumesnapshot,pvc', '--all', '-n', namespace, '--wait=false'];
    await this.during(() => cluster.kubectl(['delete', ...all]));
    await waitNothingLeft(cluster, patienceMs);
  }

  /** The act is asked for, and interrupted while Kubernetes and px are at it. */
  private async during(act: () => Promise<unknown>): Promise<void> {
    await act();
    await this.interruption.hit(this.cluster);
  }

  private becomes(object: string, condition: string): Promise<void> {
    return this.cluster.waitFor(object, condition, patienceMs, this.namespace);
  }

  private inPod(pod: string, script: string): Promise<string> {
    return this.cluster.kubectl(['exec', '-n', this.namespace, pod, '--', 'sh', '-c', script]);
  }
}

/** Whatever dies in the middle of whichever step: the end is right, and nothing is left. */
export const interruptionsCase: KubernetesCase = {
  name: 'interruptions',
  onRequest: true,
  timeoutMs: 25 * 60_000,
  images: [...pxImages, 'busybox'],
  run: async (cluster: KubernetesCluster, helpers: CaseHelpers) => {
    await ensurePx(cluster, helpers);
    await waitNothingLeft(cluster, 60_000);
    await cluster.apply(storageClass(className, { repl: '2', fs: 'xfs' }));
    let passed = 0;
    for (const [index, interruption] of interruptions.entries()) {
      const namespace = `${helpers.namespace}-${index}`;
      await cluster.kubectl(['create', 'namespace', namespace]);
      const life = new InterruptedLife(cluster, namespace, interruption);
      await helpers.step(interruption.what, () => life.run());
      await cluster.kubectl(['delete', 'namespace', namespace], { timeoutMs: patienceMs });
      passed++;
    }
    await cluster.kubectl(['delete', 'storageclass', className]);
    return { passed, failed: 0, skipped: 0 };
  },
};
