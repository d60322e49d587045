import { names } from '../names.js';
import { ownedMeta, type Component } from '../plan.js';

/** One complete configuration a node. It holds no secret: credentials are mounted from a Secret. */
export const pxConfig: Component = (plan) => [
  {
    apiVersion: 'v1',
    kind: 'ConfigMap',
    metadata: ownedMeta(plan, names.config, 'common'),
    data: {
      ...plan.nodeConfigs,
      ...Object.fromEntries(plan.leavers.map(({ node, config }) => [`${node}.json`, config])),
    },
  },
];
