import type { Geometry, SlotTable } from './ops.js';
import type { PlantedFaults } from './planted-faults.js';
import type { Clock, CoordinatorHost, LinkFactory } from './ports.js';

export type CoordinatorPhase = 'connecting' | 'recovering' | 'serving' | 'fenced' | 'closed';

export interface CoordinatorOptions {
  readonly heartbeatMs: number;
  readonly leaseMs: number;
  /** A replica that is away or owes an answer for longer is taken out. */
  readonly replicaTimeoutMs: number;
  /** A flush, a copy or an admission waits for a disk and may take this long. */
  readonly flushTimeoutMs: number;
  readonly resyncBytesPerSecond: number;
  readonly cleanIntervalMs: number;
  readonly geometry: Geometry;
  readonly faults?: PlantedFaults;
}

export interface CoordinatorDeps {
  readonly clusterId: string;
  readonly volumeId: string;
  readonly nodeId: string;
  /** The name under which this coordinator attached: `attachToken` of the record. */
  readonly token: string;
  readonly slots: SlotTable;
  readonly clock: Clock;
  readonly links: LinkFactory;
  readonly host: CoordinatorHost;
  readonly options: CoordinatorOptions;
  /** The process that held the epoch before ours ran on this node and is gone. */
  readonly previousOwnerDead: boolean;
}

export interface ReplicaStatus {
  readonly replicaId: string;
  readonly nodeId: string;
  readonly state: 'in_sync' | 'out' | 'resync';
  readonly connected: boolean;
  readonly reason: string;
  readonly resyncBytesDone: number;
  readonly resyncBytesTotal: number;
  readonly resyncBytesCopied: number;
}

export interface CoordinatorStatus {
  readonly phase: CoordinatorPhase;
  readonly reason: string;
  readonly replicas: readonly ReplicaStatus[];
}

export interface CheckResult {
  readonly status: number;
  readonly bytesCompared: number;
  readonly replicas: readonly string[];
  readonly differences: readonly {
    readonly offset: number;
    readonly length: number;
    readonly digests: readonly Uint8Array[];
  }[];
}
