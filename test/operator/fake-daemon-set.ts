import { resources } from '../../src/crds/resources.js';
import type { KubeObject } from '../../src/operator/ports.js';
import { toPxError } from '../../src/kernel/errors.js';
import { namespace, type ControllersHarness } from './controllers-harness.js';
import type { FakePxCluster } from './fake-px-cluster.js';

interface Pod extends KubeObject {
  readonly spec?: { readonly nodeName?: string };
}

/**
 * Stands in for the DaemonSet's controller and the kubelets, which the test's API
 * server lacks: a pod on each node that may run one, of the newest template, that
 * becomes ready and has px on its node follow. Pods that are deleted end.
 */
export class FakeDaemonSet {
  /** Templates whose pods never get their image. */
  readonly broken = new Set<string>();
  /** Nodes in the order in which their pods were made, with the template. */
  readonly made: string[] = [];
  private template = '';
  private revision = 0;
  private ended = false;
  private done: Promise<void> = Promise.resolve();

  constructor(
    private readonly harness: ControllersHarness,
    private readonly px: FakePxCluster,
    private readonly nodes: () => Promise<readonly string[]>,
  ) {}

  async start(template: string): Promise<void> {
    await this.harness.create(resources.daemonSet, {
      metadata: { name: 'px-node', namespace },
      spec: {
        selector: { matchLabels: podLabels },
        updateStrategy: { type: 'OnDelete' },
        template: {
          metadata: { labels: podLabels },
          spec: { containers: [{ name: 'px-node', image: template }] },
        },
      },
    });
    await this.roll(template);
    this.done = this.work();
  }

  async stop(): Promise<void> {
    this.ended = true;
    await this.done;
  }

  /** A new template: what the DaemonSet's controller notes of it. */
  async roll(template: string): Promise<void> {
    this.template = template;
    this.revision += 1;
    const daemonSet = await this.harness.kube.patch<KubeObject>(
      resources.daemonSet,
      { namespace, name: 'px-node' },
      { spec: { template: { spec: { containers: [{ name: 'px-node', image: template }] } } } },
    );
    const { name, uid = '', generation } = daemonSet.metadata;
    await this.harness.create(resources.controllerRevision, {
      metadata: {
        name: `px-node-${template}`,
        namespace,
        labels: { 'controller-revision-hash': template },
        ownerReferences: [{ apiVersion: 'apps/v1', kind: 'DaemonSet', name, uid }],
      },
      data: {},
      revision: this.revision,
    });
    await this.harness.setStatus(resources.daemonSet, daemonSet, {
      observedGeneration: generation,
      desiredNumberScheduled: 0,
      currentNumberScheduled: 0,
      numberMisscheduled: 0,
      numberReady: 0,
    });
  }

  async pods(): Promise<readonly Pod[]> {
    return this.harness.kube.list<Pod>(resources.pod, { namespace });
  }

  private async work(): Promise<void> {
    while (!this.ended) {
      await this.step();
      await new Promise((resolve) => setTimeout(resolve, 200));
    }
  }

  private async step(): Promise<void> {
    const nodes = await this.nodes();
    const pods = await this.pods();
    for (const pod of pods) {
      const wanted = nodes.includes(pod.spec?.nodeName ?? '');
      if (pod.metadata.deletionTimestamp === undefined && wanted) continue;
      this.px.change(pod.spec?.nodeName ?? '', { state: 'offline' });
      await this.harness.kube.delete(
        resources.pod,
        { namespace, name: pod.metadata.name },
        { gracePeriodSeconds: 0 },
      );
    }
    for (const node of nodes) {
      if (!pods.some(({ spec }) => spec?.nodeName === node)) await this.make(node);
    }
  }

  private async make(node: string): Promise<void> {
    const template = this.template;
    const name = `px-node-${node}-${template}`;
    this.made.push(`${node} ${template}`);
    const broken = this.broken.has(template);
    const status = broken
      ? { phase: 'Pending', containerStatuses: [waiting] }
      : { phase: 'Running', conditions: [ready()] };
    try {
      await this.harness.create(resources.pod, {
        metadata: {
          name,
          namespace,
          labels: { ...podLabels, 'controller-revision-hash': template },
        },
        spec: { nodeName: node, containers: [{ name: 'px-node', image: template }] },
        status,
      });
    } catch (thrown) {
      if (toPxError(thrown).code !== 'already_exists') throw thrown;
    }
    if (!broken) this.px.change(node, { state: 'operational' });
  }
}

const podLabels = {
  'app.kubernetes.io/name': 'px',
  'app.kubernetes.io/component': 'node',
};

const waiting = {
  name: 'px-node',
  image: 'px-node',
  imageID: '',
  ready: false,
  restartCount: 0,
  state: { waiting: { reason: 'ImagePullBackOff', message: 'no such image' } },
};

function ready(): object {
  return { type: 'Ready', status: 'True', lastTransitionTime: new Date().toISOString() };
}
