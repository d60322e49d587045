import { resources } from '../../crds/resources.js';
import type { StorageCluster } from '../../crds/storage-cluster.js';
import { toPxError } from '../../kernel/errors.js';
import { monotonicMs } from '../../platform/monotonic.js';
import { activeCluster } from '../active-cluster.js';
import { conditionBoard } from '../condition-board.js';
import type {
  Controller,
  Enqueue,
  KubeCache,
  OperatorContext,
  ReconcileResult,
  SetUpController,
} from '../ports.js';
import { pxView } from '../px-view.js';
import { evacuate, failOverNode, releaseNode } from './fail-over-node.js';
import { fenceMark, taintOwner, type KubeNode } from './fenced-node.js';
import {
  judge,
  type FailoverAction,
  type FailoverEvidence,
  type FailoverVerdict,
  type NodeEvidence,
} from './judge.js';
import { isOverdue, KubeletLeases, nodeLeaseNamespace, type Lease } from './kubelet-leases.js';
import { failoverSettings, type FailoverSettings } from './settings.js';

const key = 'cluster';

/** While something looks wrong; a lease of px ends 6 s after its node. */
const attentionMs = 2_000;
/** A fenced node, or one that is held: its return is mostly told by its lease. */
const vigilMs = 10_000;
/** What was deleted is looked after until it is gone. */
const evacuationMs = 1_000;
/** An answer of px that is older says nothing about now. */
const pxMaxAgeMs = 1_500;

/**
 * Moves pods away from nodes that died. Costs nothing while all is well: no call
 * to px, and one pass when the next kubelet's renewal would be overdue.
 */
export const setUpFailover: SetUpController = (context, enqueue) => {
  const nodes = context.cache<KubeNode>(resources.node);
  const clusters = context.cache<StorageCluster>(resources.storageCluster);
  const leases = context.cache<Lease>(resources.lease, { namespace: nodeLeaseNamespace });
  const kubelets = new KubeletLeases(monotonicMs);
  leases.onChange((lease, change) => {
    if (change === 'gone') kubelets.forget(lease.metadata.name);
    else kubelets.observe(lease);
  });
  watchMarks(nodes, enqueue);
  clusters.onChange(() => enqueue(key));
  return new FailoverController(context, nodes, clusters, kubelets);
};

/** A Node changes with every status of its kubelet: only its taint and mark are of interest. */
function watchMarks(nodes: KubeCache<KubeNode>, enqueue: Enqueue): void {
  const seen = new Map<string, string>();
  nodes.onChange((node, change) => {
    const { name } = node.metadata;
    const marks = change === 'gone' ? 'gone' : `${taintOwner(node)} ${fenceMark(node) ?? ''}`;
    if (seen.get(name) === marks) return;
    seen.set(name, marks);
    enqueue(key);
  });
}

class FailoverController implements Controller {
  readonly name = 'failover';
  readonly #context: OperatorContext;
  readonly #nodes: KubeCache<KubeNode>;
  readonly #clusters: KubeCache<StorageCluster>;
  readonly #kubelets: KubeletLeases;
  /** What was last said about a node that is held, so that it is said once. */
  readonly #said = new Map<string, string>();

  constructor(
    context: OperatorContext,
    nodes: KubeCache<KubeNode>,
    clusters: KubeCache<StorageCluster>,
    kubelets: KubeletLeases,
  ) {
    this.#context = context;
    this.#nodes = nodes;
    this.#clusters = clusters;
    this.#kubelets = kubelets;
  }

  async reconcile(): Promise<ReconcileResult> {
    const cluster = activeCluster(this.#clusters);
    if (cluster === undefined || cluster.metadata.deletionTimestamp !== undefined) return undefined;
    const settings = failoverSettings({
      ...(cluster.metadata.annotations === undefined
        ? {}
        : { annotations: cluster.metadata.annotations }),
      ...(cluster.spec.runtimeOptions === undefined
        ? {}
        : { runtimeOptions: cluster.spec.runtimeOptions }),
    });
    if (!this.#nodes.all().some((node) => this.#isNoteworthy(node))) {
      this.#said.clear();
      this.#report(settings, [], []);
      return { requeueAfterMs: this.#untilOverdueMs() };
    }
    const evidence = await this.#gather();
    const verdict = judge(evidence, settings);
    this.#warn(verdict);
    const helpers = evidence.nodes
      .filter(({ px, taint }) => px?.state === 'operational' && taint === 'none')
      .map(({ name }) => name);
    const done = await Promise.all(
      verdict.actions.map((action) =>
        this.#act(
          action,
          helpers.filter((name) => name !== action.node),
        ),
      ),
    );
    this.#report(settings, evidence.nodes, verdict.held);
    if (done.includes(false)) return { requeueAfterMs: evacuationMs };
    return { requeueAfterMs: verdict.suspicious ? attentionMs : vigilMs };
  }

  #isNoteworthy(node: KubeNode): boolean {
    return (
      taintOwner(node) !== 'none' ||
      fenceMark(node) !== undefined ||
      isOverdue(this.#kubelets.silence(node.metadata.name))
    );
  }

  /** When the first kubelet would be overdue, if nothing were heard of any. */
  #untilOverdueMs(): number {
    const waits = this.#kubelets.nodeNames().map((name) => {
      const silence = this.#kubelets.silence(name);
      return silence === undefined ? vigilMs : silence.renewEveryMs * 1.25 - silence.silentMs;
    });
    return Math.max(1_000, Math.min(vigilMs, ...waits));
  }

  async #gather(): Promise<FailoverEvidence> {
    const view = pxView(this.#context);
    const fresh = await view.nodes(pxMaxAgeMs).catch((thrown: unknown) => {
      this.#context.logger.warn('px does not say how its nodes are', {
        error: toPxError(thrown).message,
      });
      return undefined;
    });
    const known = fresh ?? view.lastNodes() ?? [];
    const nodes = this.#nodes.all().map((node): NodeEvidence => {
      const px = known.find(({ name }) => name === node.metadata.name);
      return {
        name: node.metadata.name,
        px: px === undefined ? undefined : { id: px.id, state: px.state },
        kubelet: this.#kubelets.silence(node.metadata.name),
        taint: taintOwner(node),
        fenced: fenceMark(node),
      };
    });
    const kubelets = this.#kubelets.nodeNames().flatMap((name) => {
      const silence = this.#kubelets.silence(name);
      return silence === undefined ? [] : [{ name, silence }];
    });
    return { nodes, kubelets, pxIsFresh: fresh !== undefined };
  }

  /** One node's trouble must not keep another from being saved: what fails is tried again. */
  async #act(action: FailoverAction, helpers: readonly string[]): Promise<boolean> {
    try {
      switch (action.kind) {
        case 'fail-over':
          return await failOverNode(this.#context, { ...action, helpers });
        case 'evacuate':
          return await evacuate(this.#context, action.node, action.cause);
        case 'release':
          await releaseNode(this.#context, action.node);
          return true;
      }
    } catch (thrown) {
      const { code, message } = toPxError(thrown);
      this.#context.logger.warn('a step of a failover failed', { ...action, code, error: message });
      return false;
    }
  }

  #warn(verdict: FailoverVerdict): void {
    const held = new Map(verdict.held.map(({ node, reason }) => [node, reason]));
    for (const node of [...this.#said.keys()]) if (!held.has(node)) this.#said.delete(node);
    for (const [name, reason] of held) {
      if (this.#said.get(name) === reason) continue;
      this.#said.set(name, reason);
      this.#context.logger.warn('a node seems dead and is left alone', { node: name, reason });
      const node = this.#nodes.get({ name });
      if (node === undefined) continue;
      const message = `The node seems dead, but its pods stay: ${reason}.`;
      this.#context.events.note(node, { type: 'Warning', reason: 'FailoverHeld', message });
    }
  }

  #report(
    settings: FailoverSettings,
    nodes: readonly NodeEvidence[],
    held: FailoverVerdict['held'],
  ): void {
    const out = nodes.filter(({ fenced }) => fenced !== undefined).map(({ name }) => name);
    const sentences = [
      ...(out.length === 0 ? [] : [`Out of service: ${out.join(', ')}.`]),
      ...held.map(({ node, reason }) => `${node} seems dead and is left alone: ${reason}.`),
      ...settings.problems,
    ];
    conditionBoard(this.#context).report({
      source: 'Failover',
      type: 'NodesInService',
      status: out.length + held.length === 0 ? 'True' : 'False',
      reason: out.length > 0 ? 'OutOfService' : held.length > 0 ? 'Held' : 'InService',
      message: sentences.join(' '),
    });
  }
}
