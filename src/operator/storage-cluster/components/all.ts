import type { Manifest } from '../kubernetes-types.js';
import type { Plan } from '../plan.js';
import { csiController } from './csi-controller.js';
import { csiDriver } from './csi-driver.js';
import { csiNode } from './csi-node.js';
import { disruptionBudget } from './disruption-budget.js';
import { pxConfig } from './px-config.js';
import { pxNode } from './px-node.js';
import { snapshotController } from './snapshot-controller.js';
import { storageClasses } from './storage-classes.js';

/** In the order of need: a pod finds its configuration, its account and its Service. */
const components = [
  pxConfig,
  pxNode,
  disruptionBudget,
  csiDriver,
  csiNode,
  csiController,
  snapshotController,
  storageClasses,
];

export function desiredObjects(plan: Plan): readonly Manifest[] {
  return components.flatMap((component) => component(plan));
}
