import { names, podLabels } from '../names.js';
import { ownedMeta, type Component } from '../plan.js';

/** One node at a time, also for those who drain nodes without asking the operator. */
export const disruptionBudget: Component = (plan) => [
  {
    apiVersion: 'policy/v1',
    kind: 'PodDisruptionBudget',
    metadata: ownedMeta(plan, names.disruptionBudget, 'node'),
    spec: {
      minAvailable: Math.max(Object.keys(plan.nodeConfigs).length - 1, 0),
      selector: { matchLabels: podLabels('node') },
    },
  },
];
