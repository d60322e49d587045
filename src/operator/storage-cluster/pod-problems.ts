import type { ContainerStatus, Pod, Terminated } from './kubernetes-types.js';
import { labelKeys } from './names.js';

/** Why a pod of ours does not run, in a person's words. */
export interface PodProblem {
  readonly pod: string;
  readonly component: string;
  readonly node: string | undefined;
  readonly reason: string;
  readonly message: string;
}

/** Reasons of a container that only waits its turn. */
const harmless = ['ContainerCreating', 'PodInitializing'];

export function podProblems(pods: readonly Pod[]): readonly PodProblem[] {
  return pods
    .filter(({ metadata }) => metadata.deletionTimestamp === undefined)
    .flatMap((pod) => {
      const problem = problemOf(pod);
      if (problem === undefined) return [];
      return [
        {
          pod: pod.metadata.name,
          component: pod.metadata.labels?.[labelKeys.component] ?? '',
          node: pod.spec?.nodeName,
          ...problem,
        },
      ];
    });
}

type Problem = Pick<PodProblem, 'reason' | 'message'>;

function problemOf(pod: Pod): Problem | undefined {
  const { status } = pod;
  const scheduled = status?.conditions?.find(({ type }) => type === 'PodScheduled');
  if (scheduled?.status === 'False') {
    return { reason: scheduled.reason ?? 'Unschedulable', message: scheduled.message ?? '' };
  }
  if (status?.phase === 'Failed') {
    return { reason: status.reason ?? 'Failed', message: status.message ?? '' };
  }
  const containers = [
    ...(status?.initContainerStatuses ?? []),
    ...(status?.containerStatuses ?? []),
  ];
  return containers.map(containerProblem).find((problem) => problem !== undefined);
}

function containerProblem({ name, state, lastState }: ContainerStatus): Problem | undefined {
  const { waiting, terminated } = state ?? {};
  const ended = terminated ?? lastState?.terminated;
  const failed = ended !== undefined && ended.exitCode !== 0;
  if (waiting?.reason !== undefined && !harmless.includes(waiting.reason)) {
    // Of a container that ends again and again its own words say more than the kubelet's.
    const why = failed ? ending(ended) : (waiting.message ?? '');
    return { reason: waiting.reason, message: `${name}: ${why}` };
  }
  if (terminated === undefined || !failed) return undefined;
  return { reason: terminated.reason ?? 'Error', message: `${name}: ${ending(terminated)}` };
}

function ending({ exitCode, message }: Terminated): string {
  const code = `it ended with ${exitCode ?? '?'}`;
  return message === undefined || message === '' ? code : `${code}: ${lastLine(message)}`;
}

function lastLine(text: string): string {
  return text.trim().split('\n').at(-1) ?? '';
}

/** `px-node-abc on node-1: ImagePullBackOff (px-node: Back-off pulling image …)` */
export function describeProblem({ pod, node, reason, message }: PodProblem): string {
  const where = node === undefined ? '' : ` on ${node}`;
  return `${pod}${where}: ${reason}${message === '' ? '' : ` (${message})`}`;
}
