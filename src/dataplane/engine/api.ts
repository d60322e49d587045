/**
 * What px-node asks of the engine, over the unix socket `<runDir>/engine.sock`:
 * one JSON object a line, `{id, method, params}` answered by `{id, result}` or
 * `{id, error: {code, message, fields}}` (codes of `src/kernel/errors.ts`).
 * Every method is idempotent. The engine outlives px-node, and finds its own
 * configuration (`<runDir>/engine.json`, an `EngineConfig`), its replicas (by
 * scanning the pools) and its attached volumes (from the holder) when restarted.
 */
export interface EngineConfig {
  readonly clusterId: string;
  readonly nodeId: string;
  readonly runDir: string;
  readonly kvdb: KvdbConfig;
  /** Where other nodes reach the replication protocol. */
  readonly dataAddress: { readonly host: string; readonly port: number };
  readonly pools: readonly EnginePool[];
  readonly ioThreads: number;
  readonly timing: EngineTiming;
  readonly tls?: { readonly certFile: string; readonly keyFile: string; readonly caFile: string };
}

export interface KvdbConfig {
  readonly endpoints: readonly string[];
  readonly username?: string;
  readonly password?: string;
  readonly caFile?: string;
  readonly certFile?: string;
  readonly keyFile?: string;
}

export interface EnginePool {
  readonly id: string;
  /** Mount points (or the directory) that make up the pool. */
  readonly directories: readonly string[];
  readonly segmentBytes: number;
  readonly snapshotMethod: 'reflink' | 'copy';
}

export interface EngineTiming {
  readonly heartbeatMs: number;
  readonly leaseMs: number;
  /** A replica that owes an answer for longer is taken out. */
  readonly replicaTimeoutMs: number;
  readonly resyncBytesPerSecond: number;
  readonly cleanIntervalMs: number;
}

export interface EngineMethods {
  'engine.status': { params: Record<string, never>; result: EngineStatus };
  /** New pools or endpoints; takes effect without a restart. */
  'engine.configure': { params: EngineConfig; result: Record<string, never> };
  /** Makes the replica's directory, or finds it there. */
  'replica.ensure': {
    params: {
      volumeId: string;
      replicaId: string;
      poolId: string;
      sizeBytes: number;
      blank: boolean;
    };
    result: Record<string, never>;
  };
  'replica.remove': {
    params: { volumeId: string; replicaId: string };
    result: Record<string, never>;
  };
  /**
   * The replica persists this epoch and obeys nothing older from then on (rule
   * F1). Answers how long an older coordinator's lease may still run.
   */
  'replica.fence': {
    params: { volumeId: string; replicaId: string; epoch: number; token: string };
    result: { leaseRemainingMs: number };
  };
  'replica.list': { params: Record<string, never>; result: readonly ReplicaInfo[] };
  /**
   * Becomes the volume's coordinator under a new epoch and serves it.
   * `frontend: none` is for work on a detached volume (resync, check, snapshot).
   */
  'volume.attach': {
    params: { volumeId: string; frontend: FrontendName | 'none'; readOnly: boolean };
    result: AttachResult;
  };
  /** Drains, flushes, takes the device down, gives the epoch back. */
  'volume.detach': { params: { volumeId: string; force: boolean }; result: Record<string, never> };
  /** Every volume that is attached here; unlike `engine.status` it looks at no disk. */
  'volume.list': { params: Record<string, never>; result: readonly AttachedVolumeStatus[] };
  'volume.status': { params: { volumeId: string }; result: AttachedVolumeStatus };
  /** At one moment, copies every in-sync replica to that of the target volume on the same node. */
  'volume.copy': {
    params: {
      volumeId: string;
      targetVolumeId: string;
      /** source replica id -> target replica id */
      replicas: Readonly<Record<string, string>>;
    };
    result: { copied: readonly string[] };
  };
  /** Replaces the content by that of a snapshot; only with `frontend: none`. */
  'volume.restore': {
    params: {
      volumeId: string;
      sourceVolumeId: string;
      /** Replicas of the volume in whose pool one of the source lies. */
      replicaIds: readonly string[];
    };
    result: Record<string, never>;
  };
  'volume.resize': {
    params: { volumeId: string; sizeBytes: number };
    result: Record<string, never>;
  };
  'volume.check': {
    params: { volumeId: string };
    result: {
      bytesCompared: number;
      replicas: readonly string[];
      differences: readonly { offset: number; length: number; digests: readonly string[] }[];
    };
  };
}

/** A loop device, an NBD address, or the kernel's nbd device at that address. */
export type FrontendName = 'fuse' | 'nbd' | 'nbd-device';

export interface AttachResult {
  readonly epoch: number;
  readonly sizeBytes: number;
  readonly devicePath: string;
  readonly nbdUri: string;
}

export interface ReplicaInfo {
  readonly volumeId: string;
  readonly replicaId: string;
  readonly poolId: string;
  readonly sizeBytes: number;
  readonly usedBytes: number;
  readonly epoch: number;
  /** A coordinator, wherever it is, may serve the volume at this moment. */
  readonly isLeased: boolean;
  readonly state: 'open' | 'failed';
  readonly reason: string;
}

export interface AttachedVolumeStatus {
  readonly volumeId: string;
  readonly epoch: number;
  readonly phase: CoordinatorPhase;
  /** One sentence on what it waits for, '' while serving. */
  readonly reason: string;
  readonly devicePath: string;
  readonly nbdUri: string;
  readonly frontend: FrontendName | 'none';
  readonly readOnly: boolean;
  readonly replicas: readonly {
    readonly replicaId: string;
    readonly nodeId: string;
    readonly state: 'in_sync' | 'out' | 'resync';
    readonly connected: boolean;
    /** Why it is not connected or not in sync, '' when it is both. */
    readonly reason: string;
    readonly resyncBytesDone: number;
    readonly resyncBytesTotal: number;
    readonly resyncBytesCopied: number;
  }[];
  readonly stats: {
    readonly reads: number;
    readonly writes: number;
    readonly flushes: number;
    readonly discards: number;
    readonly readBytes: number;
    readonly writeBytes: number;
    readonly inFlight: number;
  };
}

export type CoordinatorPhase = 'connecting' | 'recovering' | 'serving' | 'waiting' | 'fenced';

export interface EngineStatus {
  readonly pid: number;
  readonly startedAt: string;
  readonly kvdb: 'ok' | 'unavailable';
  readonly volumes: readonly AttachedVolumeStatus[];
  readonly replicas: readonly ReplicaInfo[];
}
