import { resources } from '../../crds/resources.js';
import {
  isKvdbInternal,
  parseStorageClusterSpec,
  type StorageCluster,
} from '../../crds/storage-cluster.js';
import type { StorageNode } from '../../crds/storage-node.js';
import type { NodeStatus__Output } from '../../gen/px/v1/NodeStatus.js';
import { toPxError } from '../../kernel/errors.js';
import { activeCluster } from '../active-cluster.js';
import { usesOn } from '../drain/in-use.js';
import { drainNode, noteProgress } from '../drain/drain-node.js';
import { wantsToLeave, type DrainInput, type NodeProgress } from '../drain/plan-drain.js';
import { taintOwner, type KubeNode } from '../failover/fenced-node.js';
import { nodeLabels } from '../names.js';
import { openNodeCaches, wantedNodes, type NodeCaches } from '../node-caches.js';
import type {
  Controller,
  Enqueue,
  KubeCache,
  OperatorContext,
  ReconcileResult,
  SetUpController,
} from '../ports.js';
import { pxView } from '../px-view.js';
import { observePod, type DaemonPod } from '../rollout/observe-pods.js';
import { stopJobName, wipeJobName } from '../storage-cluster/components/wiper.js';
import type { Job } from '../storage-cluster/kubernetes-types.js';
import { labelKeys } from '../storage-cluster/names.js';
import type { PersistentVolume, WorkloadPod } from '../workloads.js';
import type { NodeObservation } from './phase.js';
import { desiredStorageNode, differs } from './storage-node-object.js';

const key = 'cluster';

/** Used bytes and drives change without an event; nobody needs them sooner. */
const relaxedMs = 20_000;
/** While replicas move, a node joins, or px does not answer. */
const busyMs = 5_000;
const pxMaxAgeMs = 2_000;
const ownWordTimeoutMs = 3_000;

interface Caches extends NodeCaches {
  readonly storageNodes: KubeCache<StorageNode>;
  /** What ends px on a decommissioned node. */
  readonly jobs: KubeCache<Job>;
}

/** Keeps one StorageNode for each node of the cluster, and does what its annotations ask for. */
export const setUpStorageNodes: SetUpController = (context, enqueue) => {
  const { namespace } = context;
  const wake = (): void => enqueue(key);
  const caches: Caches = {
    ...openNodeCaches(context, wake),
    storageNodes: context.cache(resources.storageNode),
    jobs: context.cache(resources.job, {
      namespace,
      labelSelector: `${labelKeys.managedBy}=px-operator`,
    }),
  };
  watchWishes(caches.storageNodes, enqueue);
  watchNodes(caches.nodes, enqueue);
  caches.jobs.onChange(wake);
  return new StorageNodeController(context, caches);
};

/**
 * The rest of a StorageNode is ours: to wake for our own writes would ask px
 * again and again, as fast as it answers.
 */
function watchWishes(storageNodes: KubeCache<StorageNode>, enqueue: Enqueue): void {
  const seen = new Map<string, string>();
  storageNodes.onChange(({ metadata }, change) => {
    const wishes = change === 'gone' ? 'gone' : JSON.stringify(metadata.annotations ?? {});
    if (seen.get(metadata.name) === wishes) return;
    seen.set(metadata.name, wishes);
    enqueue(key);
  });
}

/** A kubelet writes its Node's status all the time; only what is shown here wakes. */
function watchNodes(nodes: KubeCache<KubeNode>, enqueue: Enqueue): void {
  const seen = new Map<string, string>();
  nodes.onChange((node, change) => {
    const print = change === 'gone' ? 'gone' : JSON.stringify(observeNode(node));
    if (seen.get(node.metadata.name) === print) return;
    seen.set(node.metadata.name, print);
    enqueue(key);
  });
}

function observeNode(node: KubeNode): NonNullable<NodeObservation['kubernetes']> {
  return {
    ready:
      node.status?.conditions?.some((one) => one.type === 'Ready' && one.status === 'True') ??
      false,
    decommissioned: node.metadata.labels?.[nodeLabels.decommissioned] !== undefined,
    outOfService: taintOwner(node) !== 'none',
  };
}

/** `undefined`: px did not answer. */
type PxNodes = readonly NodeStatus__Output[] | undefined;

class StorageNodeController implements Controller {
  readonly name = 'storage-node';
  readonly #context: OperatorContext;
  readonly #caches: Caches;
  /** px was just told to change a node: what it said before that is not good enough. */
  #changedPx = false;

  constructor(context: OperatorContext, caches: Caches) {
    this.#context = context;
    this.#caches = caches;
  }

  async reconcile(): Promise<ReconcileResult> {
    const cluster = activeCluster(this.#caches.clusters);
    if (cluster === undefined || cluster.metadata.deletionTimestamp !== undefined) return undefined;
    const px = await this.#pxNodes();
    const ownWords = px === undefined ? await this.#askEach() : new Map<string, never>();
    const internalKvdb = isKvdbInternal(parseStorageClusterSpec(cluster.spec));
    let calm = px !== undefined;
    for (const name of this.#members(px)) {
      try {
        const word = ownWords.get(name);
        calm = (await this.#reconcileNode(cluster, internalKvdb, name, px, word)) && calm;
      } catch (thrown) {
        calm = false;
        const { code, message } = toPxError(thrown);
        this.#context.logger.warn('a StorageNode is not up to date', { node: name, code, message });
      }
    }
    if (px !== undefined) await this.#removeGone(px);
    return { requeueAfterMs: calm ? relaxedMs : busyMs };
  }

  async #pxNodes(): Promise<PxNodes> {
    try {
      const maxAgeMs = this.#changedPx ? 0 : pxMaxAgeMs;
      this.#changedPx = false;
      return await pxView(this.#context).nodes(maxAgeMs);
    } catch (thrown) {
      this.#context.logger.debug('px does not list its nodes', {
        error: toPxError(thrown).message,
      });
      return undefined;
    }
  }

  /**
   * What each node says of itself: while the key-value store is away none can
   * tell of the others, and a person should read why.
   */
  async #askEach(): Promise<ReadonlyMap<string, NodeStatus__Output>> {
    const words = new Map<string, NodeStatus__Output>();
    const ask = async (name: string): Promise<void> => {
      const node = await this.#context.px.node(name);
      const status = await node?.GetStatus({}, { timeoutMs: ownWordTimeoutMs });
      if (status !== undefined) words.set(name, status);
    };
    await Promise.allSettled(this.#members(undefined).map(ask));
    return words;
  }

  /** Nodes that run px, should run it, or have something on record in px. */
  #members(px: PxNodes): readonly string[] {
    const { pods, storageNodes } = this.#caches;
    const known = px?.map(({ name }) => name);
    return [
      ...new Set([
        ...wantedNodes(this.#caches, this.#context.namespace),
        // That of a dead node that was decommissioned stays until the Node is deleted.
        ...pods
          .all()
          .flatMap(({ spec }) => spec?.nodeName ?? [])
          .filter((name) => !this.#isDecommissioned(name)),
        // While px is silent nothing says that a node is gone.
        ...(known ?? storageNodes.all().map(({ metadata }) => metadata.name)),
      ]),
    ].sort();
  }

  #isDecommissioned(name: string): boolean {
    const node = this.#caches.nodes.get({ name });
    return node !== undefined && observeNode(node).decommissioned;
  }

  /** False when it is worth another look soon. */
  async #reconcileNode(
    cluster: StorageCluster,
    internalKvdb: boolean,
    name: string,
    px: PxNodes,
    ownWord: NodeStatus__Output | undefined,
  ): Promise<boolean> {
    const { kube, clock, namespace } = this.#context;
    const before = this.#caches.storageNodes.get({ namespace, name });
    const status = px?.find((one) => one.name === name);
    const observation = this.#observe(name, status ?? ownWord, px === undefined);
    const outcome = await this.#drain(name, before, status, internalKvdb, px);
    this.#changedPx ||= outcome.busy;
    const wanted = desiredStorageNode({
      cluster,
      observation,
      px: status,
      internalKvdb,
      progress: outcome.progress,
      before,
      timestamp: clock.timestamp(),
    });
    if (differs(before, wanted)) {
      const { status: wantedStatus, ...object } = wanted;
      const applied = await kube.apply(resources.storageNode, object);
      await kube.applyStatus(resources.storageNode, wanted);
      noteProgress(this.#context, before ?? applied, outcome.progress);
      this.#notePhase(before, applied, wantedStatus);
    }
    return !outcome.busy && wanted.status?.phase !== 'Updating';
  }

  #observe(name: string, px: NodeStatus__Output | undefined, silent: boolean): NodeObservation {
    const node = this.#caches.nodes.get({ name });
    const pod = this.#podOn(name);
    return {
      name,
      kubernetes: node === undefined ? undefined : observeNode(node),
      pod: pod === undefined ? undefined : observePod(pod, this.#context.clock.nowMs()),
      px: px !== undefined ? observePx(px) : silent ? 'silent' : 'unknown',
    };
  }

  #podOn(name: string): DaemonPod | undefined {
    return this.#caches.pods.all().find(({ spec }) => spec?.nodeName === name);
  }

  async #drain(
    name: string,
    before: StorageNode | undefined,
    px: NodeStatus__Output | undefined,
    internalKvdb: boolean,
    all: PxNodes,
  ): Promise<{ readonly progress: NodeProgress; readonly busy: boolean }> {
    const node = this.#caches.nodes.get({ name });
    const annotations = before?.metadata.annotations ?? {};
    const input: DrainInput = {
      annotations,
      before: before?.status,
      px:
        px === undefined
          ? undefined
          : {
              id: px.id,
              state: px.state,
              maintenance: px.maintenance || px.state === 'maintenance',
              decommission: px.decommission,
              replicas: px.pools.reduce((count, pool) => count + pool.replica_count, 0),
            },
      labelled:
        node === undefined
          ? undefined
          : node.metadata.labels?.[nodeLabels.decommissioned] !== undefined,
      kubeletReady: node !== undefined && observeNode(node).ready,
      podThere: this.#podOn(name) !== undefined,
      stopped: this.#hasStopped(name),
      inUse: wantsToLeave(annotations) && px !== undefined ? await this.#usesOn(name, px.id) : [],
      neededFor: internalKvdb && px?.kvdb_member === true ? this.#whyNeeded(all ?? []) : undefined,
    };
    return drainNode(this.#context, name, input);
  }

  /** Whichever of the two Jobs a person's wish has had made. */
  #hasStopped(name: string): boolean {
    const jobs = [wipeJobName(name), stopJobName(name)];
    return this.#caches.jobs
      .all()
      .some(({ metadata, status }) => jobs.includes(metadata.name) && (status?.succeeded ?? 0) > 0);
  }

  async #usesOn(name: string, pxId: string): Promise<readonly string[]> {
    const { kube } = this.#context;
    const [volumes, pods, persistentVolumes] = await Promise.all([
      pxView(this.#context).volumes(0),
      kube.list<WorkloadPod>(resources.pod, { fieldSelector: `spec.nodeName=${name}` }),
      kube.list<PersistentVolume>(resources.persistentVolume),
    ]);
    return usesOn(pxId, volumes, pods, persistentVolumes);
  }

  /** Of a member of the internal key-value store; its successor is chosen once it is gone. */
  #whyNeeded(px: readonly NodeStatus__Output[]): string | undefined {
    const successor = px.some(({ name, state, kvdb_member: isMember }) => {
      const node = this.#caches.nodes.get({ name });
      if (isMember || state !== 'operational' || node === undefined) return false;
      const { ready, decommissioned } = observeNode(node);
      return ready && !decommissioned;
    });
    return successor
      ? undefined
      : 'it is a member of the internal key-value store, and there is no other node to take its place: add a node first';
  }

  /** What a person would want to know of a node, once a change. */
  #notePhase(before: StorageNode | undefined, node: StorageNode, now: StorageNode['status']): void {
    const from = before?.status?.phase;
    const to = now?.phase;
    if (from === to || from === undefined || to === undefined) return;
    const bad = ['Offline', 'Failed', 'Degraded', 'NotInQuorum'].includes(to);
    this.#context.events.note(node, {
      type: bad ? 'Warning' : 'Normal',
      reason: `Node${to}`,
      message: `The node was ${from} and is ${to}${now?.reason === undefined ? '' : `: ${now.reason}`}.`,
    });
  }

  /** Of nodes that px has forgotten, and that are not to run it. */
  async #removeGone(px: readonly NodeStatus__Output[]): Promise<void> {
    const { kube, logger, namespace } = this.#context;
    const members = new Set(this.#members(px));
    for (const { metadata } of this.#caches.storageNodes.all()) {
      if (metadata.namespace !== namespace || members.has(metadata.name)) continue;
      logger.info('a node is no part of the cluster any more', { node: metadata.name });
      await kube.delete(
        resources.storageNode,
        { namespace, name: metadata.name },
        metadata.uid === undefined ? {} : { uid: metadata.uid },
      );
    }
  }
}

function observePx(px: NodeStatus__Output): Exclude<NodeObservation['px'], string> {
  return {
    state: px.state,
    stateReason: px.state_reason,
    maintenance: px.maintenance,
    decommission: px.decommission,
  };
}
