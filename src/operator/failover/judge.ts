import { isFresh, isOverdue, isSilent, type KubeletSilence } from './kubelet-leases.js';
import type { FailoverSettings } from './settings.js';

/**
 * Decides which nodes are to be failed over, from what was observed. Pure.
 *
 * What the taint `node.kubernetes.io/out-of-service` does in Kubernetes
 * (facts of its sources, release 1.35):
 *
 * - The attach-detach controller (pkg/controller/volume/attachdetach/reconciler)
 *   looks for the key alone. For a volume that no pod on the node uses any more
 *   it then skips both the check that the kubelet has unmounted it (else: up to
 *   maxWaitForUnmountDuration, 6 minutes, and only when the node is not Ready)
 *   and verifySafeToDetach. Until it has detached the volume there, a
 *   ReadWriteOnce volume gets "Multi-Attach error" anywhere else.
 * - The pod garbage collector (pkg/controller/podgc) force-deletes pods that are
 *   TERMINATING on such a node, once the node is not Ready: after
 *   node-monitor-grace-period (50 s) and its own period (20 s). That is why we
 *   force-delete the pods ourselves.
 * - The taint eviction controller deletes (gracefully: a dead kubelet never
 *   confirms) every pod that does not tolerate the NoExecute effect, at once.
 *   A Deployment's replacement is made then; a StatefulSet waits until the old
 *   pod's object is gone.
 * - The scheduler (plugin TaintToleration) places no such pod there. Without the
 *   taint the node would look Ready for 50 s more, and the replacement could
 *   land on the dead node again.
 */

export type FenceCause = 'dead' | 'unreachable' | 'taint';

export interface NodeEvidence {
  readonly name: string;
  /** Undefined when px never ran there. */
  readonly px?: { readonly id: string; readonly state: string } | undefined;
  readonly kubelet: KubeletSilence | undefined;
  /** Whose out-of-service taint the node carries. */
  readonly taint: 'none' | 'ours' | 'user';
  /** The annotation px.io/fenced: set once the data plane has fenced the node. */
  readonly fenced: FenceCause | undefined;
}

export interface FailoverEvidence {
  readonly nodes: readonly NodeEvidence[];
  /** Every kubelet of the Kubernetes cluster, also where no px runs. */
  readonly kubelets: readonly { readonly name: string; readonly silence: KubeletSilence }[];
  /** Whether px's answer about its nodes is of now; without it nothing is judged by it. */
  readonly pxIsFresh: boolean;
}

export type FailoverAction =
  /** Fence, mark and taint the node, then move its pods away. */
  | {
      readonly kind: 'fail-over';
      readonly node: string;
      readonly pxId: string;
      readonly force: boolean;
      readonly cause: FenceCause;
    }
  /** The node is fenced: move away what is still there. */
  | { readonly kind: 'evacuate'; readonly node: string; readonly cause: FenceCause }
  /** The node is back: take away our mark, and our taint. */
  | { readonly kind: 'release'; readonly node: string };

export interface FailoverVerdict {
  readonly actions: readonly FailoverAction[];
  /** Nodes that look dead while something forbids to act: one sentence each. */
  readonly held: readonly { readonly node: string; readonly reason: string }[];
  /** Something may just be going wrong: look again soon, and ask px. */
  readonly suspicious: boolean;
}

export function judge(evidence: FailoverEvidence, settings: FailoverSettings): FailoverVerdict {
  const actions: FailoverAction[] = [];
  const held: { node: string; reason: string }[] = [];
  for (const node of evidence.nodes) {
    const decision = judgeNode(node, evidence, settings);
    if (decision === undefined) continue;
    if ('reason' in decision) held.push({ node: node.name, reason: decision.reason });
    else actions.push(decision);
  }
  return { actions, held, suspicious: evidence.nodes.some((node) => looksWrong(node, settings)) };
}

function judgeNode(
  node: NodeEvidence,
  evidence: FailoverEvidence,
  settings: FailoverSettings,
): FailoverAction | { readonly reason: string } | undefined {
  const { name, px } = node;
  if (px === undefined) {
    // Forgotten by px, which fences it for good: only its kubelet can be back.
    const isOver = evidence.pxIsFresh && node.fenced !== undefined && isFresh(node.kubelet);
    return isOver && node.taint !== 'user' ? { kind: 'release', node: name } : undefined;
  }
  const failure = evidence.pxIsFresh ? failureOf(node, settings) : undefined;
  if (node.fenced !== undefined) {
    if (failure !== undefined || isStillAway(node, evidence)) {
      // Fenced already, so moving its pods is safe whatever else is going on.
      if (node.taint !== 'none') return { kind: 'evacuate', node: name, cause: node.fenced };
    } else if (isBack(node, evidence)) {
      // A user's taint stays until its user takes it away, and our mark with it:
      // the mark is what keeps us from fencing a living node again and again.
      return node.taint === 'user' ? undefined : { kind: 'release', node: name };
    } else {
      return undefined;
    }
  }
  if (node.taint === 'ours' && failure === undefined) {
    // The mark was taken away by hand; the taint is still ours to remove.
    return isBack(node, evidence) ? { kind: 'release', node: name } : undefined;
  }
  if (node.taint === 'user') {
    // Kubernetes' documentation asks for this taint only once the node is known
    // to be shut down, so it stands for a person's word: no lease is waited for.
    return { kind: 'fail-over', node: name, pxId: px.id, force: true, cause: 'taint' };
  }
  if (failure === undefined) return undefined;
  const doubt = doubtOf(node, evidence, settings);
  if (doubt !== undefined) return { reason: doubt };
  const force = failure === 'unreachable';
  return { kind: 'fail-over', node: name, pxId: px.id, force, cause: failure };
}

/** Dead needs two witnesses: etcd's lease of px, and the API server's of the kubelet. */
function failureOf(node: NodeEvidence, settings: FailoverSettings): FenceCause | undefined {
  if (!isSilent(node.kubelet, settings.silenceMs)) return undefined;
  if (node.px?.state === 'offline') return 'dead';
  return settings.whenUnreachable ? 'unreachable' : undefined;
}

/**
 * Of a node that was fenced before: an operator that has just started need not
 * wait for the whole silence of its kubelet to go on with it.
 */
function isStillAway(node: NodeEvidence, evidence: FailoverEvidence): boolean {
  return evidence.pxIsFresh && node.px?.state === 'offline' && !isFresh(node.kubelet);
}

/** Why a node that looks dead is left alone. */
function doubtOf(
  node: NodeEvidence,
  evidence: FailoverEvidence,
  settings: FailoverSettings,
): string | undefined {
  if (!settings.enabled) return 'failover by itself is switched off';
  const witnesses = evidence.kubelets.filter(
    ({ name, silence }) => name !== node.name && isFresh(silence),
  );
  if (witnesses.length === 0) {
    return 'no other kubelet has been heard of, so it may be this operator that is cut off';
  }
  const members = evidence.nodes.filter(({ px }) => px !== undefined);
  const silent = members.filter(({ kubelet }) => isSilent(kubelet, settings.silenceMs));
  if (silent.length * 2 > members.length) {
    return (
      `${silent.length} of ${members.length} nodes seem dead, which is more likely a ` +
      'fault of the network or the API server'
    );
  }
  return undefined;
}

/** Both witnesses have spoken again. */
function isBack(node: NodeEvidence, evidence: FailoverEvidence): boolean {
  return evidence.pxIsFresh && node.px?.state !== 'offline' && isFresh(node.kubelet);
}

/**
 * A kubelet is overdue, and it is not decided yet what that means. A node that
 * has been dead for longer is no news: its return is told by its lease.
 */
function looksWrong(node: NodeEvidence, settings: FailoverSettings): boolean {
  if (node.px === undefined || node.fenced !== undefined) return false;
  if (node.kubelet === undefined || !isOverdue(node.kubelet)) return false;
  return node.kubelet.silentMs < settings.silenceMs + attentionMs;
}

const attentionMs = 60_000;
