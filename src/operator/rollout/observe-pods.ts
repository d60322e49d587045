import type { KubeObject } from '../ports.js';
import type { RolloutPod } from './plan-rollout.js';

/** What the roll-out needs of a pod and of the DaemonSet's revisions. Pure. */

interface ContainerState {
  readonly waiting?: { readonly reason?: string; readonly message?: string };
  readonly terminated?: {
    readonly exitCode?: number;
    readonly startedAt?: string;
    readonly finishedAt?: string;
  };
}

export interface DaemonPod extends KubeObject {
  readonly spec?: { readonly nodeName?: string };
  readonly status?: {
    readonly phase?: string;
    readonly conditions?: readonly {
      readonly type: string;
      readonly status: string;
      readonly lastTransitionTime?: string;
    }[];
    readonly containerStatuses?: readonly ContainerStatus[];
    readonly initContainerStatuses?: readonly ContainerStatus[];
  };
}

interface ContainerStatus {
  readonly name: string;
  readonly ready?: boolean;
  readonly restartCount?: number;
  readonly state?: ContainerState;
  readonly lastState?: ContainerState;
}

export interface DaemonSet extends KubeObject {
  readonly status?: { readonly observedGeneration?: number };
}

export interface ControllerRevision extends KubeObject {
  readonly revision: number;
}

const revisionLabel = 'controller-revision-hash';

/**
 * The hash that the DaemonSet's controller gives to pods of the current template:
 * that of its newest revision. Undefined while the controller has not processed
 * the template, as its newest revision is then of the old one.
 */
export function currentRevision(
  daemonSet: DaemonSet,
  revisions: readonly ControllerRevision[],
): string | undefined {
  const { metadata, status } = daemonSet;
  if ((status?.observedGeneration ?? 0) < (metadata.generation ?? 0)) return undefined;
  const newest = revisions
    .filter(({ metadata: { ownerReferences = [] } }) =>
      ownerReferences.some(({ uid }) => uid === metadata.uid),
    )
    .reduce<ControllerRevision | undefined>(
      (best, one) => (best === undefined || one.revision > best.revision ? one : best),
      undefined,
    );
  return newest?.metadata.labels?.[revisionLabel];
}

/** Reasons of a waiting container that time alone does not mend. */
const troubles: ReadonlySet<string> = new Set([
  'CrashLoopBackOff',
  'ImagePullBackOff',
  // Between two back-offs; the kubelet shows one and the other by turns.
  'ErrImagePull',
  'InvalidImageName',
  'ErrImageNeverPull',
  'CreateContainerConfigError',
  'CreateContainerError',
  'RunContainerError',
]);

export function observePod(pod: DaemonPod, nowMs: number): RolloutPod {
  const { metadata, status } = pod;
  const ready = status?.conditions?.find(({ type }) => type === 'Ready');
  const isReady = ready?.status === 'True';
  return {
    name: metadata.name,
    uid: metadata.uid ?? '',
    revision: metadata.labels?.[revisionLabel] ?? '',
    ready: isReady,
    readyForMs: isReady ? msSince(ready?.lastTransitionTime, nowMs) : 0,
    ageMs: msSince(metadata.creationTimestamp, nowMs),
    terminating: metadata.deletionTimestamp !== undefined,
    trouble: troubleOf(status),
  };
}

function troubleOf(status: DaemonPod['status']): string | undefined {
  const containers = [
    ...(status?.initContainerStatuses ?? []),
    ...(status?.containerStatuses ?? []),
  ];
  for (const container of containers) {
    const { reason = '', message = '' } = container.state?.waiting ?? {};
    if (troubles.has(reason)) {
      return `container ${container.name}: ${reason}${message === '' ? '' : `: ${message}`}`;
    }
    if (isCrashing(container)) {
      const { exitCode = '?' } = container.lastState?.terminated ?? {};
      const restarts = container.restartCount ?? 0;
      return `container ${container.name}: ended with ${exitCode}, restarted ${restarts} times`;
    }
  }
  return undefined;
}

/** In a crash loop a container is also running or just over, between two back-offs. */
function isCrashing({ ready, restartCount = 0, lastState }: ContainerStatus): boolean {
  const { startedAt, finishedAt } = lastState?.terminated ?? {};
  if (ready === true || restartCount < 2 || startedAt === undefined) return false;
  return Date.parse(finishedAt ?? '') - Date.parse(startedAt) < shortLifeMs;
}

const shortLifeMs = 60_000;

function msSince(timestamp: string | undefined, nowMs: number): number {
  const since = timestamp === undefined ? Number.NaN : Date.parse(timestamp);
  return Number.isNaN(since) ? 0 : Math.max(0, nowMs - since);
}
