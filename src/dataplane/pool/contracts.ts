import type { Logger } from '../../platform/logger.js';
import type { RunCommand } from '../../platform/run-command.js';
import type { EnginePool } from '../engine/api.js';

/**
 * What the pools show to px-node: `openPools(config, deps)` in `open-pools.ts`
 * answers with a `PoolSet`. Nothing here formats a device on doubt, and nothing
 * wipes one.
 */
export const poolClasses = ['high', 'medium', 'low'] as const;
export type PoolClass = (typeof poolClasses)[number];

export interface PoolsConfig {
  readonly clusterId: string;
  readonly nodeId: string;
  /** Devices are mounted at `<dataDir>/devices/<deviceId>`. */
  readonly dataDir: string;
  /** Whole block devices; an entry is a path, with an optional class that beats the measured one. */
  readonly devices: readonly DeviceEntry[];
  /** Every whole block device that is unused, besides `devices`. */
  readonly useAll: boolean;
  /** Directories of existing file systems: nothing is formatted. */
  readonly directories: readonly DeviceEntry[];
  /** Formats devices that carry a foreign signature. Never one that is mounted, held or swap. */
  readonly force: boolean;
}

export interface DeviceEntry {
  readonly path: string;
  readonly class?: PoolClass;
}

export interface PoolDeps {
  readonly run: RunCommand;
  readonly log: Logger;
}

export interface PoolView {
  readonly id: string;
  readonly class: PoolClass;
  readonly kind: 'device' | 'directory';
  /** Mount points, or the directory. */
  readonly directories: readonly string[];
  readonly segmentBytes: number;
  readonly snapshotMethod: 'reflink' | 'copy';
  /** `full` when nearly nothing is left; `offline` when no drive of it works. */
  readonly state: 'online' | 'full' | 'offline';
  readonly totalBytes: number;
  readonly usedBytes: number;
  readonly availableBytes: number;
}

export interface DriveView {
  readonly path: string;
  /** '' when it was refused before it had one. */
  readonly id: string;
  readonly poolId: string;
  readonly sizeBytes: number;
  readonly usedBytes: number;
  readonly class: PoolClass;
  readonly media: 'ssd' | 'nvme' | 'hdd' | 'loop' | 'directory';
  readonly state: 'online' | 'refused' | 'offline';
  readonly reason: string;
  /** It was named, and this machine has no such device: nothing of it was ever here. */
  readonly absent: boolean;
  readonly readBytesPerSecond: number;
  readonly readIops: number;
}

export interface PoolSet {
  readonly pools: readonly PoolView[];
  readonly drives: readonly DriveView[];
  /** What `EngineConfig.pools` takes. */
  enginePools(): readonly EnginePool[];
  /** Reads the capacities afresh and notices drives that went away. Cheap: a statfs a drive. */
  refresh(): void;
}
