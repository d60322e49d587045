import { outOfServiceTaint } from '../../names.js';
import type { Plan } from '../plan.js';

/** What the "restricted" Pod Security Standard asks of a pod and of a container. */
export const restrictedPod = {
  runAsNonRoot: true,
  runAsUser: 65_532,
  runAsGroup: 65_532,
  fsGroup: 65_532,
  seccompProfile: { type: 'RuntimeDefault' },
} as const;

export const restrictedContainer = {
  allowPrivilegeEscalation: false,
  readOnlyRootFilesystem: true,
  capabilities: { drop: ['ALL'] },
} as const;

/** Controllers keep apart, and leave a dead node sooner than the usual five minutes. */
export function controllerScheduling(plan: Plan, selector: Readonly<Record<string, string>>) {
  const leaveAfter = (name: string) => ({
    key: `node.kubernetes.io/${name}`,
    operator: 'Exists',
    effect: 'NoExecute',
    tolerationSeconds: 20,
  });
  return {
    affinity: {
      nodeAffinity: plan.placement.nodeAffinity,
      podAntiAffinity: {
        preferredDuringSchedulingIgnoredDuringExecution: [
          {
            weight: 100,
            podAffinityTerm: {
              labelSelector: { matchLabels: selector },
              topologyKey: 'kubernetes.io/hostname',
            },
          },
        ],
      },
    },
    tolerations: [
      // Unlike the nodes' own pods, these have to leave a node that is out of
      // service, and a replacement must not be sent there.
      ...plan.placement.tolerations.filter(({ key }) => key !== outOfServiceTaint.key),
      ...['not-ready', 'unreachable'].map(leaveAfter),
    ],
  };
}
