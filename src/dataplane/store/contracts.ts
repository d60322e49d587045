import type { ReplicaMeta } from '../protocol/ports.js';

/**
 * What the store shows to the rest of the data plane.
 *
 * Exported functions, by file:
 * - `store-pool.ts`: `openStorePool(pool: EnginePool): StorePool`, once a pool and thread.
 * - `replica-catalog.ts`: `createReplica(pool, meta, bootId)`, `listReplicas(pool)`,
 *   `removeReplica(pool, volumeId, replicaId)`, `recoverPool(pool)`: blocking, for set-up
 *   paths, never called for a replica whose store is open (remove: close the store first).
 * - `file-replica-store.ts`: `openReplica(pool, ids, syncClient, options)`.
 * - `sync-pool.ts`: `SyncPool.start(options)` in the engine's main thread; its
 *   `handle(thread)` goes to an I/O thread as `workerData` and becomes a
 *   `SyncClient` there (`sync-client.ts`), watched by that thread's `IoLoop`.
 * - `trash.ts`: `emptyTrash(pool)`, asynchronous, after `removeReplica` and `recoverPool`.
 * - `scratch-file.ts`: `removeScratch(runDir, replicaId)`.
 * - `directory-identity.ts`: `writeIdentity`: a directory without one is never used.
 * - `boot-id.ts`: `readBootId()`.
 */
export interface ReplicaIds {
  readonly clusterId: string;
  readonly volumeId: string;
  readonly replicaId: string;
}

/** Where a store answers what waited for a disk; on the I/O thread, never from within a call. */
export interface StoreEvents {
  onStoreDone(ticket: number, status: number): void;
  /** The replica failed for good (fsync reported an error): told once. */
  onStoreFailed(reason: string): void;
}

export interface OpenOptions {
  /** Scratch memory lies in `<runDir>/scratch/<replicaId>`. */
  readonly runDir: string;
  /** `/proc/sys/kernel/random/boot_id`, see `readBootId`. */
  readonly bootId: string;
  /** Numbers in the scratch array. */
  readonly scratchLength: number;
  readonly events: StoreEvents;
}

export interface ReplicaListing {
  readonly poolId: string;
  readonly meta: ReplicaMeta;
  /** Sum of the blocks its files hold; blocks shared by reflink count in each. */
  readonly usedBytes: number;
  /** '' or why it can't be opened (a device of it is missing…). */
  readonly problem: string;
}
