import type { Condition } from '../../crds/condition.js';
import type { StorageNode } from '../../crds/storage-node.js';
import { storageNodeAnnotations } from '../names.js';

/**
 * Maintenance, drain and decommission, asked for by annotations on StorageNodes.
 * Pure: from the wish and what px says to the next call. All state is in px, in
 * the StorageNode's own status, and in a label of the Kubernetes node.
 *
 * A decommission goes: px moves every replica away (the node stays a member);
 * when nothing is in use there any more, the Kubernetes node gets a label that
 * the DaemonSets exclude, so px-node there ends, and a Job ends what outlives
 * it; then px forgets the node; then the StorageNode goes. Forgetting comes
 * after the end of px there, or it would join again, and it fences.
 *
 * On a node that is dead nobody can end anything, and nobody need: px forgets it
 * at once (and fences it by that), and refuses it when it comes back.
 */
export interface DrainInput {
  readonly annotations: Readonly<Record<string, string>>;
  readonly before: StorageNode['status'];
  readonly px:
    | {
        readonly id: string;
        readonly state: string;
        readonly maintenance: boolean;
        readonly decommission: string;
        readonly replicas: number;
      }
    | undefined;
  /** Undefined when there is no Kubernetes node of that name. */
  readonly labelled: boolean | undefined;
  /** Whether the kubelet there is ready: only then does anything end, or begin, there. */
  readonly kubeletReady: boolean;
  readonly podThere: boolean;
  /** Whether what outlives the pod has ended, too. */
  readonly stopped: boolean;
  /** What is attached there or reserved for it, with the pods that use it. */
  readonly inUse: readonly string[];
  /**
   * Why px there must go on though nothing of value is left on it: it is a member
   * of the internal key-value store that nobody could replace.
   */
  readonly neededFor: string | undefined;
}

export type DrainAction =
  | { readonly kind: 'maintenance'; readonly enter: boolean }
  /** Move replicas; with `forget` the node is forgotten when none is left. */
  | { readonly kind: 'move'; readonly forget: boolean }
  | { readonly kind: 'cancel' }
  /** Label the Kubernetes node, so that px on it ends and stays away. */
  | { readonly kind: 'label' }
  | { readonly kind: 'unlabel' };

export function planDrain(input: DrainInput): readonly DrainAction[] {
  return [...planMaintenance(input), ...planMove(input)];
}

type Wish = 'decommission' | 'drain' | 'none';

function wishOf(annotations: Readonly<Record<string, string>>): Wish {
  if (annotations[storageNodeAnnotations.decommission] === 'true') return 'decommission';
  if (annotations[storageNodeAnnotations.drainReplicas] === 'true') return 'drain';
  return 'none';
}

export function wantsToLeave(annotations: Readonly<Record<string, string>>): boolean {
  return wishOf(annotations) === 'decommission';
}

/**
 * What a person did with pxctl is not undone: maintenance ends here only when
 * the annotation says "false", or was the reason for it and is gone.
 */
function planMaintenance({ annotations, before, px }: DrainInput): readonly DrainAction[] {
  if (px === undefined) return [];
  const wish = annotations[storageNodeAnnotations.maintenance];
  if (wish === 'true') return px.maintenance ? [] : [{ kind: 'maintenance', enter: true }];
  if (!px.maintenance) return [];
  const wasOurs = before?.conditions?.some(({ type }) => type === maintenanceCondition) ?? false;
  return wish === 'false' || wasOurs ? [{ kind: 'maintenance', enter: false }] : [];
}

function planMove(input: DrainInput): readonly DrainAction[] {
  const { px, labelled, kubeletReady, podThere, stopped, before } = input;
  const wish = wishOf(input.annotations);
  if (wish === 'none') {
    const cancel: DrainAction[] =
      px !== undefined && px.decommission !== '' && before?.decommission !== undefined
        ? [{ kind: 'cancel' }]
        : [];
    // The label outlives the StorageNode on purpose; it goes with a wish that is
    // taken back before the node was forgotten.
    const takenBack = px !== undefined && labelled === true && before?.decommission !== undefined;
    return takenBack ? [...cancel, { kind: 'unlabel' }] : cancel;
  }
  if (px === undefined) return [];
  if (wish === 'drain') {
    const atWork = px.decommission === 'moving' || px.replicas > 0;
    return atWork || before?.decommission?.state !== 'Done'
      ? [{ kind: 'move', forget: false }]
      : [];
  }
  // The label says that it was empty: px there is ending, or has ended.
  const wasEmpty = before?.decommission?.state === 'Done' || labelled === true;
  if (!wasEmpty || px.replicas > 0) return [{ kind: 'move', forget: false }];
  if (labelled === false) {
    return whyHeld(input) === undefined ? [{ kind: 'label' }] : [{ kind: 'move', forget: false }];
  }
  // Its pod is ending, or px there has not given up its lease yet.
  if (px.state !== 'offline') return [];
  return kubeletReady && (podThere || !stopped) ? [] : [{ kind: 'move', forget: true }];
}

/** Why px on an empty node must go on: its end would be that of something else. */
function whyHeld({ px, inUse, neededFor }: DrainInput): string | undefined {
  // What a dead node had in use is fenced when it is forgotten.
  if (px?.state !== 'offline' && inUse.length > 0) {
    return `in use there: ${inUse.join('; ')}. Drain the node ("kubectl drain"), and it goes on`;
  }
  // Two of three members left would bear no other loss.
  return neededFor;
}

/** What the StorageNode shows of it. */
export interface NodeProgress {
  readonly decommission: NonNullable<StorageNode['status']>['decommission'];
  readonly conditions: readonly Pick<Condition, 'type' | 'status' | 'reason' | 'message'>[];
}

const maintenanceCondition = 'Maintenance';

/** Px' answer to a move. */
export interface MoveAnswer {
  readonly state: string;
  readonly replicasLeft: number;
  readonly reasons: readonly string[];
}

export function progressOf(input: DrainInput, answer: MoveAnswer | undefined): NodeProgress {
  // What was begun is still remembered when px can be asked again.
  if (input.px === undefined) return keptProgress(input.before);
  const wish = wishOf(input.annotations);
  const asked = input.annotations[storageNodeAnnotations.maintenance] === 'true';
  const maintenance: NodeProgress['conditions'] = asked
    ? [
        {
          type: maintenanceCondition,
          status: 'True',
          reason: 'Annotation',
          message: `asked for by the annotation ${storageNodeAnnotations.maintenance}`,
        },
      ]
    : [];
  if (wish === 'none') return { decommission: undefined, conditions: maintenance };
  const decommission = decommissionOf(input, answer);
  const done = decommission.state === 'Done';
  const emptied = {
    type: 'Emptied',
    status: done ? 'True' : 'False',
    reason: decommission.state,
    message: decommission.message,
  } as const;
  return { decommission, conditions: [...maintenance, emptied] };
}

export function keptProgress(before: DrainInput['before']): NodeProgress {
  const own = ['Emptied', maintenanceCondition];
  return {
    decommission: before?.decommission,
    conditions: (before?.conditions ?? [])
      .filter(({ type }) => own.includes(type))
      .map(({ type, status, reason, message }) => ({
        type,
        status,
        ...(reason === undefined ? {} : { reason }),
        ...(message === undefined ? {} : { message }),
      })),
  };
}

/** Px refused a call: the wish stands, and is tried again. */
export function refusedProgress(input: DrainInput, why: string): NodeProgress {
  const kept = keptProgress(input.before);
  if (wishOf(input.annotations) === 'none') return kept;
  const { replicasLeft = input.px?.replicas ?? 0 } = kept.decommission ?? {};
  return {
    decommission: { state: 'Refused', replicasLeft, message: why },
    conditions: [
      ...kept.conditions.filter(({ type }) => type !== 'Emptied'),
      { type: 'Emptied', status: 'False', reason: 'Refused', message: why },
    ],
  };
}

type Decommission = { state: 'Moving' | 'Done' | 'Refused'; replicasLeft: number; message: string };

function decommissionOf(input: DrainInput, answer: MoveAnswer | undefined): Decommission {
  if (answer === undefined) {
    const before = input.before?.decommission;
    return {
      state: before?.state ?? 'Moving',
      replicasLeft: before?.replicasLeft ?? input.px?.replicas ?? 0,
      message: before?.message ?? 'px is about to be asked',
    };
  }
  const { replicasLeft, reasons } = answer;
  if (answer.state === 'done') {
    const waits = wishOf(input.annotations) === 'decommission' && input.labelled === false;
    const held = waits ? whyHeld(input) : undefined;
    if (held !== undefined) return { state: 'Refused', replicasLeft, message: held };
    const forgets = wishOf(input.annotations) === 'decommission';
    const message = forgets ? 'no replica is left; the node leaves' : 'no replica is left';
    return { state: 'Done', replicasLeft, message };
  }
  const state = answer.state === 'blocked' ? 'Refused' : 'Moving';
  const message = reasons.length === 0 ? `${replicasLeft} replicas are left` : reasons.join('; ');
  return { state, replicasLeft, message };
}
