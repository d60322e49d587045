import { createHash } from 'node:crypto';
import { resources } from '../../crds/resources.js';
import { parseStorageClusterSpec, type StorageCluster } from '../../crds/storage-cluster.js';
import type { NodeStatus__Output } from '../../gen/px/v1/NodeStatus.js';
import { toPxError } from '../../kernel/errors.js';
import { activeCluster } from '../active-cluster.js';
import { conditionBoard } from '../condition-board.js';
import { clusterAnnotations } from '../names.js';
import { nodeConfigs, openNodeCaches, wantedNodes, type NodeCaches } from '../node-caches.js';
import type {
  Controller,
  KubeCache,
  OperatorContext,
  ReconcileResult,
  SetUpController,
} from '../ports.js';
import { pxView } from '../px-view.js';
import { annotationKeys, names } from '../storage-cluster/names.js';
import {
  currentRevision,
  observePod,
  type ControllerRevision,
  type DaemonPod,
  type DaemonSet,
} from './observe-pods.js';
import {
  planRollout,
  type Candidate,
  type RolloutInput,
  type RolloutNode,
  type RolloutPod,
} from './plan-rollout.js';
import { replicasByNode, type NodeReplicas } from './replica-sync.js';

const key = 'cluster';

/** While nodes are replaced, px is asked this often how they are. */
const busyMs = 5_000;
/** While nothing is to be done only a node's own change matters, and pods tell theirs. */
const idleMaxAgeMs = 60_000;
/** A decision to stop a node rests on what is so now. */
const busyMaxAgeMs = 200;
const checkTimeoutMs = 10_000;

interface Caches extends NodeCaches {
  readonly daemonSets: KubeCache<DaemonSet>;
  readonly revisions: KubeCache<ControllerRevision>;
}

/**
 * Replaces px-node pods that are outdated, one node after the other. The
 * DaemonSet is OnDelete: its controller makes the new pod when the old one goes.
 */
export const setUpRollout: SetUpController = (context, enqueue) => {
  const inNamespace = { namespace: context.namespace };
  const wake = (): void => enqueue(key);
  const caches: Caches = {
    ...openNodeCaches(context, wake),
    daemonSets: context.cache(resources.daemonSet, inNamespace),
    revisions: context.cache(resources.controllerRevision, inNamespace),
  };
  const controller = new RolloutController(context, caches);
  caches.pods.onChange(({ metadata }, change) => {
    if (change === 'gone') controller.forget(metadata.uid);
  });
  caches.revisions.onChange(wake);
  caches.daemonSets.onChange(({ metadata }) => {
    if (metadata.name === names.node) wake();
  });
  return controller;
};

class RolloutController implements Controller {
  readonly name = 'rollout';
  readonly #context: OperatorContext;
  readonly #caches: Caches;
  /** Pods that were deleted, by uid: the cache may still show them as they were. */
  readonly #deleted = new Set<string>();
  /** Whether the roll-out was failing before, so that it is an Event once. */
  #failing = false;

  constructor(context: OperatorContext, caches: Caches) {
    this.#context = context;
    this.#caches = caches;
  }

  forget(uid: string | undefined): void {
    if (uid !== undefined) this.#deleted.delete(uid);
  }

  async reconcile(): Promise<ReconcileResult> {
    const cluster = activeCluster(this.#caches.clusters);
    if (cluster === undefined || cluster.metadata.deletionTimestamp !== undefined) return undefined;
    const daemonSet = this.#caches.daemonSets.get({
      namespace: this.#context.namespace,
      name: names.node,
    });
    if (daemonSet === undefined) return undefined;
    // A first look by what is known anyway: mostly there is nothing to do.
    const glance = planRollout(await this.#observe(cluster, daemonSet, undefined));
    if (glance.reason === 'UpToDate') {
      this.#report(cluster, glance.reason, glance.message);
      return undefined;
    }
    const volumes = replicasByNode(await this.#volumes());
    const plan = planRollout(await this.#observe(cluster, daemonSet, volumes));
    const refusals = await this.#replaceOne(cluster, plan.candidates);
    const waits = refusals !== undefined && refusals.length > 0;
    const message = waits ? `${plan.message}; ${refusals.join('; ')}` : plan.message;
    this.#report(cluster, waits ? 'Waiting' : plan.reason, message);
    return plan.reason === 'UpToDate' ? undefined : { requeueAfterMs: busyMs };
  }

  async #volumes() {
    try {
      return await pxView(this.#context).volumes(busyMaxAgeMs);
    } catch (thrown) {
      // Without px only pods that are down anyway are replaced, whoever's replicas these were.
      this.#context.logger.debug('px does not list its volumes', {
        error: toPxError(thrown).message,
      });
      return [];
    }
  }

  async #observe(
    cluster: StorageCluster,
    daemonSet: DaemonSet,
    replicas: ReadonlyMap<string, NodeReplicas> | undefined,
  ): Promise<RolloutInput> {
    const { type, rollingUpdate } = parseStorageClusterSpec(cluster.spec).updateStrategy;
    const px = await pxView(this.#context)
      .nodes(replicas === undefined ? idleMaxAgeMs : busyMaxAgeMs)
      .catch(() => []);
    return {
      nodes: this.#nodes(px, replicas ?? new Map<string, NodeReplicas>()),
      revision: currentRevision(daemonSet, this.#caches.revisions.all()),
      strategy: type,
      maxUnavailable: rollingUpdate.maxUnavailable,
      minReadyMs: rollingUpdate.minReadySeconds * 1_000,
      pausedBy: pausedBy(cluster),
    };
  }

  #nodes(
    px: readonly NodeStatus__Output[],
    replicas: ReadonlyMap<string, NodeReplicas>,
  ): readonly RolloutNode[] {
    const { namespace } = this.#context;
    const configs = nodeConfigs(this.#caches, namespace);
    const pods = new Map<string, DaemonPod>();
    for (const pod of this.#caches.pods.all()) {
      const name = pod.spec?.nodeName;
      // While the old one is ending there may be a new one, too: the old one counts.
      if (name === undefined || pods.get(name)?.metadata.deletionTimestamp !== undefined) continue;
      pods.set(name, pod);
    }
    const wanted = wantedNodes(this.#caches, namespace);
    const nameOf = new Map(px.map(({ id, name }) => [id, name]));
    return [...new Set([...wanted, ...pods.keys()])].sort().map((name): RolloutNode => {
      const status = px.find((one) => one.name === name);
      const node = this.#caches.nodes.get({ name });
      const pod = pods.get(name);
      const config = configs.get(name);
      const here = status === undefined ? undefined : replicas.get(status.id);
      return {
        name,
        kubeletReady: node?.status?.conditions?.some(isReadyCondition) ?? false,
        pod: pod === undefined ? undefined : this.#observePod(pod),
        px: status === undefined ? undefined : observePx(status),
        wantedConfigHash: config === undefined ? undefined : sha256(config),
        behind: here?.behind ?? [],
        neighbours: [...(here?.neighbours ?? [])].flatMap((id) => nameOf.get(id) ?? []),
      };
    });
  }

  #observePod(pod: DaemonPod): RolloutPod {
    const observed = observePod(pod, this.#context.clock.nowMs());
    return this.#deleted.has(observed.uid) ? { ...observed, terminating: true } : observed;
  }

  /**
   * At most one a pass: the next pass sees what this one has done. Answers why
   * nobody may go, [] when one went, and undefined when nobody was to.
   */
  async #replaceOne(
    cluster: StorageCluster,
    candidates: readonly Candidate[],
  ): Promise<readonly string[] | undefined> {
    if (candidates.length === 0) return undefined;
    const refusals: string[] = [];
    for (const candidate of candidates) {
      const refusal = await this.#refusal(candidate);
      if (refusal === undefined) {
        await this.#replace(cluster, candidate);
        return [];
      }
      refusals.push(`${candidate.node}: ${refusal}`);
    }
    return refusals;
  }

  async #refusal({ pxId }: Candidate): Promise<string | undefined> {
    if (pxId === undefined) return undefined;
    try {
      const px = await this.#context.px.any();
      // Only the pod goes: the engine, and with it a volume's only replica, outlives it.
      const request = { node_id: pxId, engine_stays: true };
      const answer = await px.CheckNodeStop(request, { timeoutMs: checkTimeoutMs });
      return answer.safe ? undefined : answer.reasons.join(' ');
    } catch (thrown) {
      return `px can't say whether it may stop: ${toPxError(thrown).message}`;
    }
  }

  async #replace(cluster: StorageCluster, { node, pod }: Candidate): Promise<void> {
    const { kube, events, logger, namespace } = this.#context;
    logger.info('replaces an outdated px-node', { node, pod: pod.name });
    // Not by eviction: the disruption budget is for others, and would refuse the
    // very pod that is not ready and needs its successor most.
    this.#deleted.add(pod.uid);
    try {
      await kube.delete(resources.pod, { namespace, name: pod.name }, { uid: pod.uid });
    } catch (thrown) {
      this.#deleted.delete(pod.uid);
      throw thrown;
    }
    events.note(cluster, {
      type: 'Normal',
      reason: 'NodeUpdating',
      message: `px-node on ${node} is outdated and is replaced.`,
    });
  }

  #report(cluster: StorageCluster, reason: string, message: string): void {
    conditionBoard(this.#context).report({
      source: 'Rollout',
      type: 'NodesUpToDate',
      status: reason === 'UpToDate' ? 'True' : 'False',
      reason,
      message,
    });
    const wasFailing = this.#failing;
    this.#failing = reason === 'Failing';
    if (wasFailing || !this.#failing) return;
    this.#context.events.note(cluster, { type: 'Warning', reason: 'UpdateFailing', message });
    this.#context.logger.warn('the roll-out of px-node has stopped', { reason: message });
  }
}

function pausedBy({ metadata }: StorageCluster): string | undefined {
  const annotations = metadata.annotations ?? {};
  if (annotations[clusterAnnotations.pauseRollout] === 'true') {
    return `the annotation ${clusterAnnotations.pauseRollout}`;
  }
  return annotations[annotationKeys.reconcile] === 'false'
    ? `the annotation ${annotationKeys.reconcile}`
    : undefined;
}

function isReadyCondition({ type, status }: { type: string; status: string }): boolean {
  return type === 'Ready' && status === 'True';
}

function observePx(node: NodeStatus__Output): RolloutNode['px'] {
  return {
    id: node.id,
    state: node.state,
    stateReason: node.state_reason,
    configHash: node.config_hash,
    kvdbMember: node.kvdb_member,
  };
}

function sha256(text: string): string {
  return createHash('sha256').update(text).digest('hex');
}
