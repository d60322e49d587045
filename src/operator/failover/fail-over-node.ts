import { resources } from '../../crds/resources.js';
import type { FenceNodeResponse__Output } from '../../gen/px/v1/FenceNodeResponse.js';
import { toPxError } from '../../kernel/errors.js';
import type { KubeObject, OperatorContext, PxNode } from '../ports.js';
import { driverName, labelKeys } from '../storage-cluster/names.js';
import {
  attachmentsOn,
  claimsOf,
  podsWithPxVolumes,
  pxClaims,
  releasable,
  type PersistentVolume,
  type VolumeAttachment,
  type WorkloadPod,
} from '../workloads.js';
import { fencePatch, releasePatch, taintOwner, type KubeNode } from './fenced-node.js';
import type { FenceCause } from './judge.js';
import { releaseLeases } from './release-leases.js';

/**
 * The steps of a failover. Each is idempotent and its result is in etcd or the
 * API server, so that an operator that dies at any line leaves nothing but work
 * for the next one. The order is what makes it safe: nothing that lets a pod run
 * elsewhere happens before the data plane has fenced the node.
 */
export type FailoverContext = Pick<
  OperatorContext,
  'kube' | 'px' | 'events' | 'logger' | 'namespace'
>;

/** px asks each of the other nodes for up to 15 s. */
const fenceTimeoutMs = 20_000;

export interface FenceRequest {
  readonly node: string;
  readonly pxId: string;
  readonly force: boolean;
  readonly cause: FenceCause;
  /** Kubernetes nodes whose px is well: one of them does the fencing. */
  readonly helpers: readonly string[];
}

/** Fences, marks and evacuates; false when something is left to do. */
export async function failOverNode(
  context: FailoverContext,
  request: FenceRequest,
): Promise<boolean> {
  const { kube, events, logger } = context;
  const name = { name: request.node };
  const node = await kube.get<KubeNode>(resources.node, name);
  if (node === undefined) return true;
  const answer = await fence(context, request, node);
  if (!answer.fenced) {
    await releaseSome(context, request, node, answer.fenced_volumes);
    return false;
  }
  const mark = async (): Promise<void> => {
    // Conditional on the node as it was read before the fence: a conflict means
    // another pass, and a second fence of a fenced node changes nothing.
    await kube.patch(resources.node, name, fencePatch(node, request.cause));
    logger.warn('a node is fenced and out of service', {
      ...request,
      volumes: answer.fenced_volumes,
    });
    events.note(node, { type: 'Warning', reason: 'NodeFenced', message: explain(request.cause) });
  };
  if (taintOwner(node) !== 'none') {
    // A user's taint keeps new pods away already. Marked last: the mark says
    // that all was done, as a node that lives is not touched a second time.
    const done = await evacuate(context, request.node, request.cause);
    await mark();
    return done;
  }
  // Tainted before any pod goes, or its replacement could land here again.
  await mark();
  return evacuate(context, request.node, request.cause);
}

/**
 * One volume that can't be fenced holds back the pods that use it, not the
 * others. The taint has to wait for it: with the taint Kubernetes detaches by
 * force whatever is on the node, and deletes all its pods. Without it, it finds
 * within a minute that an attachment is gone (the attach-detach controller's
 * reconcile-sync-period), and attaches elsewhere.
 *
 * Not before Kubernetes itself calls the node not ready, or a user's taint is
 * there: until then nothing keeps a replacement from being placed there again.
 */
async function releaseSome(
  context: FailoverContext,
  { node: name, cause }: FenceRequest,
  node: KubeNode,
  fenced: readonly string[],
): Promise<void> {
  const isReady = node.status?.conditions?.some(
    ({ type, status }) => type === 'Ready' && status === 'True',
  );
  const isOpen = isReady === true && taintOwner(node) === 'none';
  if (isOpen || fenced.length === 0) return;
  await evacuate(context, name, cause, new Set(fenced));
}

/** Whether the node can't write to any of its volumes any more, and to which it can't. */
async function fence(
  context: FailoverContext,
  request: FenceRequest,
  node: KubeNode,
): Promise<Pick<FenceNodeResponse__Output, 'fenced' | 'fenced_volumes'>> {
  const px = await helper(context, request.helpers);
  const answer = await px.FenceNode(
    { node_id: request.pxId, force: request.force },
    { timeoutMs: fenceTimeoutMs },
  );
  if (answer.fenced) return answer;
  context.events.note(node, {
    type: 'Warning',
    reason: 'FencingWaits',
    message: `px cannot yet keep the node from writing: ${answer.remaining.join('; ')}`,
  });
  return answer;
}

function explain(cause: FenceCause): string {
  const why = {
    dead: 'Neither px nor the kubelet of the node gives a sign of life',
    unreachable: 'The kubelet of the node gives no sign of life, and the cluster asks to act then',
    taint: 'The node was declared out of service by its taint',
  }[cause];
  return `${why}: px has fenced it, so its pods with px volumes may run elsewhere.`;
}

/** Not the node itself where there is a choice: it may be cut off. */
async function helper(context: FailoverContext, names: readonly string[]): Promise<PxNode> {
  for (const name of names) {
    const node = await context.px.node(name).catch(() => undefined);
    if (node !== undefined) return node;
  }
  return context.px.any();
}

/**
 * Moves away what uses px volumes on a fenced node, or of a node that is only
 * partly fenced what uses fenced volumes alone; true when nothing is left.
 */
export async function evacuate(
  context: FailoverContext,
  nodeName: string,
  cause: FenceCause,
  fenced?: ReadonlySet<string>,
): Promise<boolean> {
  const { kube } = context;
  const [pods, volumes, attachments] = await Promise.all([
    kube.list<WorkloadPod>(resources.pod, { fieldSelector: `spec.nodeName=${nodeName}` }),
    kube.list<PersistentVolume>(resources.persistentVolume),
    kube.list<VolumeAttachment>(resources.volumeAttachment),
  ]);
  const claims = pxClaims(volumes, driverName);
  const users = podsWithPxVolumes(pods, claims, driverName);
  const there = attachmentsOn(attachments, nodeName, driverName);
  const { doomed, stale } =
    fenced === undefined
      ? { doomed: users, stale: there }
      : releasable(users, there, claims, fenced, driverName);
  await Promise.all([
    ...doomed.map((pod) => deletePod(context, pod, claims, nodeName, cause)),
    ...pods.filter(isOwnController).map((pod) => forceDelete(context, pod)),
  ]);
  // Of a node whose kubelet alone is silent, a controller may live on, and it says so itself.
  if (cause !== 'unreachable') await releaseLeases(context, nodeName);
  // After the pods: for the attach-detach controller a volume is wanted on the
  // node as long as a pod there names it, and it would attach it again.
  await Promise.all(
    stale.map(({ metadata }) =>
      kube.delete(resources.volumeAttachment, { name: metadata.name }, uidOf(metadata.uid)),
    ),
  );
  return doomed.length + stale.length === 0;
}

async function deletePod(
  context: FailoverContext,
  pod: WorkloadPod,
  claims: ReadonlyMap<string, PersistentVolume>,
  nodeName: string,
  cause: FenceCause,
): Promise<void> {
  if (!(await forceDelete(context, pod))) return;
  const { logger, events } = context;
  const { name, namespace } = pod.metadata;
  logger.warn('a pod of a fenced node is deleted', { pod: `${namespace}/${name}`, node: nodeName });
  const note = {
    type: 'Warning',
    reason: 'FailedOver',
    message: `Pod ${name} was deleted by force: its node ${nodeName} is ${cause === 'taint' ? 'out of service' : cause} and px has fenced it.`,
  } as const;
  for (const about of [pod, ...ownersOf(pod), ...claimObjects(pod, claims)]) {
    events.note(about, note);
  }
}

/**
 * Grace 0: the API server removes the object at once. With any other period it
 * waits for the kubelet to confirm, which a dead one never does. The uid keeps a
 * StatefulSet's next pod of the same name safe.
 */
async function forceDelete({ kube }: FailoverContext, pod: WorkloadPod): Promise<boolean> {
  const { name, namespace, uid } = pod.metadata;
  return kube.delete(
    resources.pod,
    { name, ...(namespace === undefined ? {} : { namespace }) },
    { gracePeriodSeconds: 0, ...uidOf(uid) },
  );
}

/**
 * Our own Deployments' pods: without a living CSI controller nothing is detached
 * or attached anywhere.
 */
function isOwnController({ metadata }: WorkloadPod): boolean {
  const component = metadata.labels?.[labelKeys.component] ?? '';
  return (
    metadata.labels?.[labelKeys.name] === 'px' &&
    ['csi-controller', 'snapshot-controller', 'operator'].includes(component)
  );
}

function uidOf(uid: string | undefined): { readonly uid?: string } {
  return uid === undefined ? {} : { uid };
}

function ownersOf(pod: WorkloadPod): readonly KubeObject[] {
  const { namespace } = pod.metadata;
  return (pod.metadata.ownerReferences ?? [])
    .filter(({ controller }) => controller === true)
    .map(({ apiVersion, kind, name, uid }) => ({
      apiVersion,
      kind,
      metadata: { name, uid, ...(namespace === undefined ? {} : { namespace }) },
    }));
}

function claimObjects(
  pod: WorkloadPod,
  claims: ReadonlyMap<string, PersistentVolume>,
): readonly KubeObject[] {
  return claimsOf(pod).flatMap((key) => {
    const claim = claims.get(key)?.spec?.claimRef;
    if (claim?.name === undefined) return [];
    const { name, namespace = 'default', uid } = claim;
    const metadata = { name, namespace, ...uidOf(uid) };
    return [{ apiVersion: 'v1', kind: 'PersistentVolumeClaim', metadata }];
  });
}

/** The node is back: pods may run there again. */
export async function releaseNode(context: FailoverContext, nodeName: string): Promise<void> {
  const { kube, events, logger } = context;
  const node = await kube.get<KubeNode>(resources.node, { name: nodeName });
  if (node === undefined) return;
  try {
    await kube.patch(resources.node, { name: nodeName }, releasePatch(node));
  } catch (thrown) {
    if (toPxError(thrown).code !== 'not_found') throw thrown;
    return;
  }
  logger.info('a fenced node is back in service', { node: nodeName });
  events.note(node, {
    type: 'Normal',
    reason: 'NodeBack',
    message: 'px and the kubelet of the node are back; it takes part again.',
  });
}
