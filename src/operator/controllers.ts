import { setUpFailover } from './failover/failover-controller.js';
import type { SetUpController } from './ports.js';
import { setUpRollout } from './rollout/rollout-controller.js';
import { setUpStorageCluster } from './storage-cluster/controller.js';
import { setUpStorageNodes } from './storage-node/storage-node-controller.js';
import { setUpStoragePolicies } from './storage-policy/storage-policy-controller.js';
import { setUpVolumeHealth } from './volume-health/volume-health-controller.js';

/** Everything that the operator does; each says itself what it watches. */
export const controllers: readonly SetUpController[] = [
  setUpStorageCluster,
  setUpRollout,
  setUpStorageNodes,
  setUpFailover,
  setUpVolumeHealth,
  setUpStoragePolicies,
];
