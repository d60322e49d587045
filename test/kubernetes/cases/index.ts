import type { KubernetesCase } from '../runner/types.js';
import { clusterWorks } from './cluster-works.js';

/** In the order in which they run. */
export const cases: readonly KubernetesCase[] = [clusterWorks];
