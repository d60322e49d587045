import type { KubernetesCase } from '../runner/types.js';
import { chartLife } from './chart-life.js';
import { clusterWorks } from './cluster-works.js';
import { databaseFailover } from './database-failover.js';
import { examples } from './examples.js';
import { externalEtcd } from './external-etcd.js';
import { interruptionsCase } from './interruptions.js';
import { manyClaims } from './many-claims.js';
import { nodeOperations } from './node-operations.js';
import { storageCapacity } from './storage-capacity.js';
import { storagePolicies } from './storage-policies.js';
import { storageSuite } from './storage-suite.js';
import { tutorial } from './tutorial.js';

/** In the order in which they run; px is installed by the first that needs it. */
export const cases: readonly KubernetesCase[] = [
  clusterWorks,
  tutorial,
  manyClaims,
  storageCapacity,
  storagePolicies,
  databaseFailover,
  examples,
  interruptionsCase,
  storageSuite,
  nodeOperations,
  // Takes px away.
  chartLife,
  // Brings its own.
  externalEtcd,
];
