import { PxError, toPxError } from '../../../kernel/errors.js';
import type { LogFields } from '../../../platform/logger.js';
import type { Hello } from '../../protocol/messages.js';
import { scratchLength } from '../../protocol/op-ring.js';
import { productionGeometry, type SlotTable } from '../../protocol/ops.js';
import type { Clock } from '../../protocol/ports.js';
import { Replica } from '../../protocol/replica.js';
import { type FileReplicaStore, openReplica } from '../../store/file-replica-store.js';
import { openStorePool, type StorePool } from '../../store/store-pool.js';
import type { SyncJobs } from '../../store/sync-client.js';
import type { EnginePool } from '../api.js';
import type { ReplicaCore, ReplicaRegistry } from '../replica-registry.js';
import type { OpenReplicaState } from './messages.js';

export interface ReplicaTableDeps {
  readonly registry: ReplicaRegistry;
  readonly slots: SlotTable;
  readonly clock: Clock;
  readonly jobs: SyncJobs;
  readonly clusterId: string;
  readonly runDir: string;
  readonly bootId: string;
  readonly leaseMs: number;
  log(level: 'info' | 'warn' | 'error', message: string, fields: LogFields): void;
}

interface OpenReplica {
  readonly store: FileReplicaStore;
  readonly core: Replica;
  failure: string;
}

/**
 * The replicas of one I/O thread that are open. A replica is opened when the
 * first coordinator asks for it, and then stays open until it is removed.
 */
export class ReplicaTable {
  private readonly open = new Map<string, OpenReplica>();
  /** Stores that still wait for their last jobs, and who waits for them. */
  private readonly closing = new Map<string, (() => void)[]>();
  private pools: StorePool[] = [];

  constructor(
    private readonly deps: ReplicaTableDeps,
    pools: readonly EnginePool[],
  ) {
    this.configure(pools);
  }

  /** Pools that were there keep what their open stores know of them. */
  configure(pools: readonly EnginePool[]): void {
    this.pools = pools.map((pool) => openStorePool(pool));
  }

  /** The replica that a coordinator asks for; undefined when there is none here. */
  find(hello: Hello): ReplicaCore | undefined {
    const present = this.open.get(hello.volumeId);
    // A failed store answers again only after it was opened afresh, which tells what it lost.
    if (present !== undefined && present.failure === '') return present.core;
    if (present !== undefined) this.discard(hello.volumeId, present);
    // Refused until then: the coordinator asks again by itself.
    if (this.closing.has(hello.volumeId)) return undefined;
    return this.openFromDisk(hello);
  }

  states(): OpenReplicaState[] {
    return [...this.open].map(([volumeId, { core, failure }]) => ({
      volumeId,
      epoch: core.epoch,
      sizeBytes: core.sizeBytes,
      isLeased: core.isLeased,
      problem: failure,
    }));
  }

  /** Nothing of the replica is open when `done` is called. */
  close(volumeId: string, done: () => void): void {
    const present = this.open.get(volumeId);
    if (present !== undefined) this.discard(volumeId, present);
    const waiting = this.closing.get(volumeId);
    if (waiting === undefined) done();
    else waiting.push(done);
  }

  private openFromDisk(hello: Hello): ReplicaCore | undefined {
    // Identity is the replica's to judge, and to tell: it is found by its place alone.
    const ids = { ...hello, clusterId: this.deps.clusterId };
    for (const pool of this.pools) {
      try {
        return this.openIn(pool, ids);
      } catch (thrown) {
        const error = toPxError(thrown);
        if (error.code === 'not_found') continue;
        const { volumeId } = hello;
        this.deps.log('error', 'a replica cannot be opened', { volumeId, reason: error.message });
        return undefined;
      }
    }
    return undefined;
  }

  private openIn(pool: StorePool, ids: Hello): ReplicaCore {
    const { slots, clock, registry, leaseMs, runDir, bootId } = this.deps;
    const { volumeId } = ids;
    let core: Replica | undefined = undefined as Replica | undefined;
    const events = {
      onStoreDone: (ticket: number, status: number) => core?.onStoreDone(ticket, status),
      onStoreFailed: (reason: string) => {
        const present = this.open.get(volumeId);
        if (present !== undefined && present.core === core) present.failure = reason;
        this.deps.log('error', 'a replica failed', { volumeId, reason });
      },
    };
    const store = openReplica(pool, ids, this.deps.jobs, { runDir, bootId, scratchLength, events });
    core = new Replica({
      store,
      slots,
      clock,
      host: registry,
      geometry: productionGeometry,
      leaseMs,
    });
    this.open.set(volumeId, { store, core, failure: '' });
    return core;
  }

  private discard(volumeId: string, present: OpenReplica): void {
    this.open.delete(volumeId);
    this.closing.set(volumeId, []);
    this.deps.registry.dropVolume(volumeId, present.core);
    present.store.close(() => {
      const waiting = this.closing.get(volumeId) ?? [];
      this.closing.delete(volumeId);
      for (const done of waiting) done();
    });
  }
}

export function noSuchVolume(volumeId: string): PxError {
  return new PxError('not_found', `volume ${volumeId} is not attached here`);
}
