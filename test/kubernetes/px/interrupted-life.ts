import { parseQuantityBytes } from '../../../src/kernel/quantity.js';
import type { KubernetesCluster } from '../cluster/cluster.js';
import { check } from '../runner/check.js';
import { claim, podWith, snapshotOf } from './objects.js';
import { isPodReady, type Observed, type Observer } from './observed.js';

/** A step of a volume's life. Names of objects are completed by the life's number. */
interface LifeStep {
  readonly name: string;
  /**
   * Begun while px still answers, because what is to be interrupted comes only
   * after something else that needs px.
   */
  readonly early?: true;
  begin(life: InterruptedLife): Promise<unknown>;
  /** A part of Kubernetes has called px for it, or is about to. */
  hasBegun(life: InterruptedLife, observed: Observed): boolean;
  /** The right end. */
  hasEnded(life: InterruptedLife, observed: Observed): boolean;
  /** What an observation doesn't show. */
  verify?(life: InterruptedLife): Promise<unknown>;
  /** The objects of the user that there are after it. */
  readonly leaves: readonly string[];
}

const grownBytes = 2 * 1024 ** 3;
/** Of the size of a volume, the file system may take this for itself. */
const ofFileSystem = 0.05;
const contentMiB = 4;

const create: LifeStep = {
  name: 'create',
  begin: (life) => life.apply(life.claim('data')),
  hasBegun: (life, observed) =>
    observed.hasEvent(observed.claim(life.named('data')), 'Provisioning'),
  hasEnded: (life, observed) => observed.claim(life.named('data'))?.status?.phase === 'Bound',
  leaves: ['data'],
};

const attach: LifeStep = {
  name: 'attach',
  begin: (life) => life.apply(life.pod('user', 'data')),
  // The attacher puts its finalizer there before it calls px.
  hasBegun: (life, observed) =>
    (observed.attachmentOf(life.named('data'))?.metadata.finalizers ?? []).length > 0,
  hasEnded: (life, observed) => life.isReady(observed, 'user'),
  verify: (life) => life.writeContent(),
  leaves: ['data', 'user'],
};

const snapshot: LifeStep = {
  name: 'snapshot',
  begin: (life) => life.apply(life.snapshot()),
  hasBegun: (life, observed) =>
    'snapshot.storage.kubernetes.io/volumesnapshot-being-created' in
    (observed.contentOf(life.named('snap'))?.metadata.annotations ?? {}),
  hasEnded: (life, observed) => observed.snapshot(life.named('snap'))?.status?.readyToUse === true,
  leaves: ['data', 'user', 'snap'],
};

const restore: LifeStep = {
  name: 'restore',
  begin: (life) => life.apply(life.restored('copy')),
  hasBegun: (life, observed) =>
    observed.hasEvent(observed.claim(life.named('copy')), 'Provisioning'),
  hasEnded: (life, observed) => observed.claim(life.named('copy'))?.status?.phase === 'Bound',
  leaves: ['data', 'user', 'snap', 'copy'],
};

const mount: LifeStep = {
  name: 'mount',
  early: true,
  begin: (life) => life.apply(life.pod('reader', 'copy')),
  hasBegun: (life, observed) =>
    observed.attachmentOf(life.named('copy'))?.status?.attached === true,
  hasEnded: (life, observed) => life.isReady(observed, 'reader'),
  verify: (life) => life.checkContent('reader'),
  leaves: ['data', 'user', 'snap', 'copy', 'reader'],
};

const grow: LifeStep = {
  name: 'grow',
  begin: (life) => life.grow(),
  hasBegun: (life, observed) =>
    observed.claim(life.named('data'))?.status?.allocatedResourceStatuses?.storage !== undefined,
  hasEnded: (life, observed) => {
    const { storage } = observed.claim(life.named('data'))?.status?.capacity ?? {};
    return storage !== undefined && parseQuantityBytes(storage, 'capacity') === grownBytes;
  },
  verify: (life) => life.checkSize(),
  leaves: mount.leaves,
};

const stop: LifeStep = {
  name: 'stop',
  begin: (life) => life.delete('pod', 'user', 'reader'),
  hasBegun: (life, observed) =>
    ['user', 'reader'].every((name) => {
      const pod = observed.pod(life.named(name));
      const containers = pod?.status?.containerStatuses ?? [];
      return containers.every(({ state }) => state?.terminated !== undefined);
    }),
  hasEnded: (life, observed) =>
    ['user', 'reader'].every((name) => observed.pod(life.named(name)) === undefined) &&
    ['data', 'copy'].every((name) => observed.attachmentOf(life.named(name)) === undefined),
  leaves: ['data', 'snap', 'copy'],
};

const remove: LifeStep = {
  name: 'remove',
  begin: async (life) => {
    await life.delete('volumesnapshot', 'snap');
    await life.delete('pvc', 'data', 'copy');
  },
  hasBegun: (life, observed) =>
    ['data', 'copy'].every((name) => observed.claim(life.named(name)) === undefined),
  hasEnded: (life, observed) =>
    observed.snapshot(life.named('snap')) === undefined &&
    observed.contentOf(life.named('snap')) === undefined &&
    ['data', 'copy'].every((name) => observed.volumeOf(life.named(name)) === undefined),
  leaves: [],
};

/** Each begins where the one before has ended, the first after the last. */
export const lifeSteps: readonly LifeStep[] = [
  create,
  attach,
  snapshot,
  restore,
  mount,
  grow,
  stop,
  remove,
];

/** What the lives of one case have in common. */
export interface LifeSurroundings {
  readonly cluster: KubernetesCluster;
  readonly namespace: string;
  readonly className: string;
  readonly observer: Observer;
  readonly patienceMs: number;
}

/** A volume with all that happens to it, step by step, over and over. */
export class InterruptedLife {
  private done = 0;
  /** Of what was written to the volume. */
  private sum = '';

  constructor(
    private readonly around: LifeSurroundings,
    private readonly number: number,
    private readonly isBlock: boolean,
  ) {}

  get step(): LifeStep {
    const step = lifeSteps[this.done % lifeSteps.length];
    check(step !== undefined, 'a life has steps');
    return step;
  }

  /** The objects of the user that there have to be by now. */
  get objects(): readonly string[] {
    const last = lifeSteps[(this.done + lifeSteps.length - 1) % lifeSteps.length];
    return (last?.leaves ?? []).map((name) => this.named(name));
  }

  named(name: string): string {
    return `${name}-${this.number}`;
  }

  /** Asks for the step, and returns once it is under way. */
  async begin(): Promise<void> {
    await this.step.begin(this);
    await this.until('begun', (observed) => this.step.hasBegun(this, observed));
  }

  async end(): Promise<void> {
    await this.until('ended', (observed) => this.step.hasEnded(this, observed));
    await this.step.verify?.(this);
    this.done++;
  }

  /** Whether the step is not over yet, as far as the API server knows. */
  isInFlight(observed: Observed): boolean {
    return !this.step.hasEnded(this, observed);
  }

  /** The first steps, with nothing in their way. */
  async walk(steps: number): Promise<void> {
    for (let count = 0; count < steps; count++) {
      await this.step.begin(this);
      await this.end();
    }
  }

  /** What a pod has written is there, and it goes on writing: its volume outlived it all. */
  async checkData(): Promise<void> {
    if (this.objects.includes(this.named('user'))) {
      await this.checkContent('user');
      // Beside what was written before.
      const to = this.isBlock ? `of=/dev/data bs=1M seek=${contentMiB}` : 'of=/data/beat';
      await this.inPod('user', `date | dd ${to} conv=fsync 2>/dev/null`);
    }
    if (this.objects.includes(this.named('reader'))) await this.checkContent('reader');
  }

  claim(name: string, more: Readonly<Record<string, unknown>> = {}): object {
    const { namespace, className } = this.around;
    const volumeMode = this.isBlock ? 'Block' : 'Filesystem';
    return claim(namespace, this.named(name), { storageClassName: className, volumeMode, ...more });
  }

  restored(name: string): object {
    const apiGroup = 'snapshot.storage.k8s.io';
    const dataSource = { apiGroup, kind: 'VolumeSnapshot', name: this.named('snap') };
    return this.claim(name, { dataSource });
  }

  snapshot(): object {
    return snapshotOf(this.around.namespace, this.named('snap'), this.named('data'));
  }

  pod(name: string, claimName: string): object {
    return podWith(this.around.namespace, this.named(name), this.named(claimName), this.isBlock);
  }

  apply(object: object): Promise<string> {
    return this.around.cluster.apply(object);
  }

  delete(kind: string, ...names: readonly string[]): Promise<string> {
    const { cluster, namespace } = this.around;
    const named = names.map((name) => this.named(name));
    return cluster.kubectl(['delete', kind, ...named, '-n', namespace, '--wait=false']);
  }

  grow(): Promise<string> {
    const { cluster, namespace } = this.around;
    const change = { spec: { resources: { requests: { storage: String(grownBytes) } } } };
    const which = ['pvc', this.named('data'), '-n', namespace, '--type', 'merge'];
    return cluster.kubectl(['patch', ...which, '-p', JSON.stringify(change)]);
  }

  isReady(observed: Observed, name: string): boolean {
    const pod = observed.pod(this.named(name));
    return pod !== undefined && isPodReady(pod);
  }

  private get contentPath(): string {
    return this.isBlock ? '/dev/data' : '/data/file';
  }

  async writeContent(): Promise<void> {
    const path = this.contentPath;
    const read = `dd if=${path} bs=1M count=${contentMiB} 2>/dev/null | sha256sum`;
    const write = `dd if=/dev/urandom of=${path} bs=1M count=${contentMiB} conv=fsync 2>/dev/null`;
    this.sum = await this.inPod('user', `${write} && ${read}`);
  }

  /** From the device: the page cache would remember what a lost device had. */
  async checkContent(pod: string): Promise<void> {
    const from = `if=${this.contentPath} bs=1M count=${contentMiB} iflag=direct`;
    const sum = await this.inPod(pod, `dd ${from} 2>/dev/null | sha256sum`);
    check(sum === this.sum, `${this.named(pod)} reads ${sum}, ${this.sum} was written`);
  }

  async checkSize(): Promise<void> {
    const ask = this.isBlock
      ? 'echo $(( $(blockdev --getsize64 /dev/data) / 1024 ))'
      : "df -k /data | awk 'END { print $2 }'";
    const kib = Number(await this.inPod('user', ask));
    const least = (grownBytes / 1024) * (this.isBlock ? 1 : 1 - ofFileSystem);
    check(kib >= least, `${this.named('data')} has ${kib} KiB for its user, not ${least}`);
  }

  private inPod(pod: string, script: string): Promise<string> {
    const { cluster, namespace } = this.around;
    const words = ['exec', '-n', namespace, this.named(pod), '--', 'sh', '-c', script];
    return cluster.kubectl(words).then((text) => text.trim());
  }

  private async until(what: string, isTrue: (observed: Observed) => boolean): Promise<void> {
    const { observer, patienceMs } = this.around;
    await observer.until(`${this.step.name} of life ${this.number} ${what}`, patienceMs, isTrue);
  }
}
