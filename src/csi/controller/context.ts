import type { NodeApi } from '../../platform/grpc-client.js';
import type { TopologyKeys } from '../topology.js';
import type { VolumeLocks } from '../volume-locks.js';

/** What every group of controller calls works with. */
export interface ControllerContext {
  readonly px: NodeApi;
  readonly locks: VolumeLocks;
  readonly topology: TopologyKeys;
}
