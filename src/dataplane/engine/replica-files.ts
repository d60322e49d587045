import { PxError } from '../../kernel/errors.js';
import { readBootId } from '../store/boot-id.js';
import {
  createReplica,
  listReplicas,
  recoverPool,
  removeReplica,
} from '../store/replica-catalog.js';
import { removeScratch } from '../store/scratch-file.js';
import { openStorePool, type StorePool } from '../store/store-pool.js';
import { emptyTrash } from '../store/trash.js';
import type { EngineConfig, EngineMethods, EnginePool, ReplicaInfo } from './api.js';
import type { OpenReplicaState } from './io-thread/messages.js';

/** Making, listing and removing replicas: blocking work, done on the main thread. */
export class ReplicaFiles {
  private readonly clusterId: string;
  private readonly runDir: string;
  private pools: StorePool[];

  constructor(config: Pick<EngineConfig, 'clusterId' | 'pools' | 'runDir'>) {
    this.clusterId = config.clusterId;
    this.runDir = config.runDir;
    this.pools = config.pools.map(openStorePool);
  }

  configure(pools: readonly EnginePool[]): void {
    this.pools = pools.map(openStorePool);
  }

  /** What a crash interrupted is finished before any replica is opened. */
  async recover(): Promise<void> {
    for (const pool of this.pools) {
      recoverPool(pool);
      await emptyTrash(pool);
    }
  }

  ensure(params: EngineMethods['replica.ensure']['params']): Record<string, never> {
    const { volumeId, replicaId, poolId, sizeBytes, blank } = params;
    const pool = this.pools.find(({ id }) => id === poolId);
    if (pool === undefined) throw new PxError('not_found', `there is no pool ${poolId} here`);
    const { clusterId } = this;
    const meta = { clusterId, volumeId, replicaId, epoch: 0, token: '', sizeBytes, blank };
    createReplica(pool, { ...meta, lossy: false }, readBootId());
    return {};
  }

  async remove(volumeId: string, replicaId: string): Promise<void> {
    for (const pool of this.pools) {
      removeReplica(pool, volumeId, replicaId);
      await emptyTrash(pool);
    }
    removeScratch(this.runDir, replicaId);
  }

  list(open: ReadonlyMap<string, OpenReplicaState>): readonly ReplicaInfo[] {
    return this.pools.flatMap((pool) =>
      listReplicas(pool).map(({ poolId, meta, usedBytes, problem }) => {
        const { volumeId, replicaId, sizeBytes, epoch } = meta;
        const reason = problem === '' ? (open.get(volumeId)?.problem ?? '') : problem;
        const state = reason === '' ? ('open' as const) : ('failed' as const);
        // One that no coordinator has opened since the engine began has granted nobody a lease.
        const isLeased = open.get(volumeId)?.isLeased === true;
        return {
          volumeId,
          replicaId,
          poolId,
          sizeBytes,
          usedBytes,
          epoch,
          isLeased,
          state,
          reason,
        };
      }),
    );
  }
}
