import type { KubernetesCluster } from '../cluster/cluster.js';
import { ensurePx, pxImages, systemNamespace } from '../px/install-px.js';
import { InterruptedLife, lifeSteps } from '../px/interrupted-life.js';
import { accountFor, LeakCheck, waitNothingLeft } from '../px/leftovers.js';
import { storageClass } from '../px/objects.js';
import { Observer } from '../px/observed.js';
import { goOn, pxPrograms, signalEverywhere, standStill } from '../px/standstill.js';
import { countSystemPods, waitNodesAnswer, waitPxWell } from '../px/well.js';
import { check } from '../runner/check.js';
import type { CaseHelpers, KubernetesCase } from '../runner/types.js';

const className = 'interruptions';
const patienceMs = 120_000;

interface Interruption {
  readonly what: string;
  hit(cluster: KubernetesCluster): Promise<unknown>;
  /** For what doesn't come back by itself. */
  mend?(cluster: KubernetesCluster): Promise<unknown>;
}

const deletePods = (component: string) => (cluster: KubernetesCluster) =>
  cluster.kubectl([
    ...['delete', 'pods', '-n', systemNamespace, '--wait=false'],
    ...['-l', `app.kubernetes.io/component=${component}`],
  ]);

const killService = (service: 'kubelet' | 'containerd') => (cluster: KubernetesCluster) =>
  Promise.all(cluster.nodes.map(({ name }) => cluster.killService(name, service)));

/** The kernel knows the first 15 letters of a program's name. */
const killProgram = (program: string) => (cluster: KubernetesCluster) =>
  signalEverywhere(cluster, 'KILL', ['-x', program.slice(0, 15)]);

const killPx = (program: string) => (cluster: KubernetesCluster) =>
  signalEverywhere(cluster, 'KILL', ['-f', program]);

/** Sidecars first: the kubelet starts a container again at once only the first time. */
const interruptions: readonly Interruption[] = [
  ...[
    'csi-provisioner',
    'csi-attacher',
    'csi-resizer',
    'csi-snapshotter',
    'snapshot-controller',
  ].map((name) => ({ what: `every ${name} is killed`, hit: killProgram(name) })),
  { what: 'the CSI controllers are deleted', hit: deletePods('csi-controller') },
  { what: 'the CSI node plugins are deleted', hit: deletePods('csi-node') },
  { what: 'every px-csi is killed', hit: killPx(pxPrograms.csi) },
  {
    what: 'the API server is killed',
    hit: (cluster) => cluster.stopControlPlane('kube-apiserver'),
    mend: (cluster) => cluster.restartControlPlane('kube-apiserver'),
  },
  { what: 'every kubelet is killed', hit: killService('kubelet') },
  { what: 'every containerd is killed', hit: killService('containerd') },
  { what: 'every px-node pod is deleted', hit: deletePods('node') },
  { what: 'every px-node is killed', hit: killPx(pxPrograms.node) },
];

/** Many lives, each at another step: a hit is in the middle of all steps. */
class Lives {
  private readonly lives: readonly InterruptedLife[];
  /** A file system at each step; raw block volumes at every second one, at the others the next time. */
  private readonly firstSteps = [...lifeSteps.keys(), 1, 3, 5, 7];
  private readonly observer: Observer;
  private readonly leaks: LeakCheck;

  constructor(
    private readonly cluster: KubernetesCluster,
    private readonly namespace: string,
    private readonly systemPods: number,
  ) {
    this.observer = new Observer(cluster, namespace);
    this.leaks = new LeakCheck(cluster);
    const { observer } = this;
    const around = { cluster, namespace, className, observer, patienceMs };
    this.lives = this.firstSteps.map(
      (_, index) => new InterruptedLife(around, index, index >= lifeSteps.length),
    );
  }

  async start(): Promise<void> {
    const { lives, firstSteps } = this;
    await Promise.all(lives.map((life, index) => life.walk(firstSteps[index] ?? 0)));
    await this.checkEnd();
  }

  async survive(interruption: Interruption): Promise<void> {
    const { cluster, lives } = this;
    await this.inTheMiddle(() => interruption.hit(cluster));
    await interruption.mend?.(cluster);
    await waitNodesAnswer(cluster, patienceMs);
    await Promise.all(lives.map((life) => life.end()));
    await waitPxWell(cluster, this.systemPods, patienceMs);
    await this.checkEnd();
  }

  /** The namespace goes while a step of each kind is under way in it. */
  async loseNamespace(): Promise<void> {
    const { cluster, namespace } = this;
    await this.inTheMiddle(() =>
      cluster.kubectl(['delete', 'namespace', namespace, '--wait=false']),
    );
    await cluster.waitFor(`namespace/${namespace}`, 'delete', patienceMs);
    await this.leaks.wait(patienceMs);
  }

  /**
   * px-node stands still from before the steps begin until the hit, so that none
   * of them can be over by then. The early ones are held in the CSI node plugin
   * until px-node stands still, and go on into that.
   */
  private async inTheMiddle(hit: () => Promise<unknown>): Promise<void> {
    const { cluster, lives } = this;
    const begin = (early: boolean): Promise<unknown> =>
      Promise.all(
        lives.filter(({ step }) => (step.early === true) === early).map((life) => life.begin()),
      );
    await standStill(cluster, pxPrograms.csiNode);
    await begin(true);
    await standStill(cluster, pxPrograms.node);
    await goOn(cluster, pxPrograms.csiNode);
    await begin(false);
    const observed = await this.observer.look();
    const over = lives.filter((life) => !life.isInFlight(observed));
    check(over.length === 0, `over before the hit: ${over.map((l) => l.step.name).join()}`);
    await hit();
    await goOn(cluster, pxPrograms.node);
  }

  /** Every life has what it made by now, and nothing else is there. */
  private async checkEnd(): Promise<void> {
    const { lives, observer, leaks } = this;
    await Promise.all(lives.map((life) => life.checkData()));
    const observed = await observer.look();
    const wanted = lives.flatMap((life) => life.objects).sort();
    const found = observed.userObjects.sort();
    check(found.join() === wanted.join(), `there are ${found.join()}, not ${wanted.join()}`);
    await leaks.wait(patienceMs, accountFor(observed));
  }
}

/** Whatever dies in the middle of whichever steps: the ends are right, and nothing is left. */
export const interruptionsCase: KubernetesCase = {
  name: 'interruptions',
  timeoutMs: 15 * 60_000,
  images: [...pxImages, 'busybox'],
  run: async (cluster: KubernetesCluster, helpers: CaseHelpers) => {
    const { step } = helpers;
    await ensurePx(cluster, helpers);
    await waitNothingLeft(cluster, 60_000);
    await cluster.apply(storageClass(className, { repl: '2', fs: 'xfs' }));
    const namespace = `${helpers.namespace}-lives`;
    await cluster.kubectl(['create', 'namespace', namespace]);
    const lives = new Lives(cluster, namespace, await countSystemPods(cluster));
    await step('a life for each step', () => lives.start());
    for (const interruption of interruptions) {
      await step(interruption.what, () => lives.survive(interruption));
    }
    await step('the namespace is deleted', () => lives.loseNamespace());
    await cluster.kubectl(['delete', 'storageclass', className]);
    return { passed: interruptions.length + 1, failed: 0, skipped: 0 };
  },
};
