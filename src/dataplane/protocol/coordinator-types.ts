import type { Geometry } from './ops.js';
import type { PlantedFaults } from './planted-faults.js';

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
