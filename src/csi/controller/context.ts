import type { NodeApi } from '../../platform/grpc-client.js';
import type { Claims } from '../claims/claim-parameters.js';
import type { TopologyKeys } from '../topology.js';
import type { VolumeLocks } from '../volume-locks.js';

/** What every group of controller calls works with. */
export interface ControllerContext {
  readonly px: NodeApi;
  readonly locks: VolumeLocks;
  readonly topology: TopologyKeys;
  /** Absent outside of Kubernetes: only the class decides then. */
  readonly claims?: Claims | undefined;
}
