import { randomUUID } from 'node:crypto';
import { PxError } from '../../kernel/errors.js';
import type { Logger } from '../../platform/logger.js';
import { delay, monotonicMs } from '../../platform/monotonic.js';
import type { Kvdb, KvKeys, KvLease } from '../kvdb/port.js';
import type { NodeRecord } from './node-record.js';

export const nodeTtlMs = 6_000;

export interface Presence {
  /** Tells two daemons of one node apart. */
  readonly instance: string;
  readonly pid: number;
  /** Of the process's start, in clock ticks since boot: pids are used again. */
  readonly startTime: string;
  readonly bootId: string;
  readonly mgmtAddress: string;
}

export interface NodeRegistryDeps {
  readonly kvdb: Kvdb;
  readonly keys: KvKeys;
  readonly clusterId: string;
  readonly nodeId: string;
  readonly self: Omit<Presence, 'instance'>;
  readonly logger: Logger;
  /** Whether that process of this machine still runs. */
  processLives(pid: number, startTime: string): boolean;
  /** Another daemon has this node's identity: this one must end. */
  onConflict(error: PxError): void;
}

const retryMs = 500;

/**
 * Says that this node lives, under a lease, and makes sure that only one
 * daemon says so.
 */
export class NodeRegistry {
  private readonly instance = randomUUID();
  private lease: KvLease | undefined;
  private stopped = false;

  constructor(private readonly deps: NodeRegistryDeps) {}

  /** Refuses a store that belongs to another cluster of the same name. */
  async joinCluster(uuid: string): Promise<string> {
    const { kvdb, keys, clusterId } = this.deps;
    await this.refuseRemoved();
    for (;;) {
      const present = await kvdb.get(keys.cluster);
      if (present !== undefined) return (JSON.parse(present.value) as { uuid: string }).uuid;
      const value = JSON.stringify({ clusterId, uuid, createdAt: new Date().toISOString() });
      const outcome = await kvdb.txn(
        [{ key: keys.cluster, modRevision: 0 }],
        [{ type: 'put', key: keys.cluster, value }],
      );
      if (outcome.outcome === 'ok') return uuid;
      if (outcome.outcome === 'unknown') await delay(retryMs);
    }
  }

  /**
   * Puts `alive/<id>`. A key that a dead daemon of this machine left is taken
   * over at once; another one is waited for until its lease must be over.
   */
  async announce(): Promise<void> {
    const { kvdb, keys, nodeId, logger } = this.deps;
    const key = keys.aliveNode(nodeId);
    const startedMs = monotonicMs();
    for (;;) {
      const lease = await kvdb.grantLease(nodeTtlMs);
      const present = await kvdb.get(key);
      const held = present === undefined ? undefined : (JSON.parse(present.value) as Presence);
      if (held !== undefined && held.instance !== this.instance && !this.isDead(held)) {
        await lease.revoke();
        if (monotonicMs() - startedMs > nodeTtlMs * 2) throw this.conflict(held);
        logger.info('waiting for the lease of an earlier daemon of this node to end', {
          address: held.mgmtAddress,
        });
        await delay(1_000);
        continue;
      }
      const value = JSON.stringify({ ...this.deps.self, instance: this.instance });
      const outcome = await kvdb.txn(
        [{ key, modRevision: present?.modRevision ?? 0 }],
        [{ type: 'put', key, value, leaseId: lease.id }],
      );
      if (outcome.outcome === 'ok') return this.hold(lease);
      await lease.revoke();
      await delay(retryMs);
    }
  }

  /**
   * Puts what others must know of this node; only its own daemon writes it. One
   * that was decommissioned meanwhile must not come back by that.
   */
  async publish(record: NodeRecord): Promise<boolean> {
    const { kvdb, keys } = this.deps;
    const outcome = await kvdb.txn(
      [{ key: keys.removedNodes + record.id, modRevision: 0 }],
      [{ type: 'put', key: keys.node(record.id), value: JSON.stringify(record) }],
    );
    if (outcome.outcome === 'conflict') {
      await this.leave();
      this.deps.onConflict(this.removed());
    }
    return outcome.outcome === 'ok';
  }

  /** The lease of this node's presence, for keys that shall end with it. */
  leaseId(): string | undefined {
    return this.lease?.id;
  }

  async leave(): Promise<void> {
    this.stopped = true;
    await this.lease?.revoke();
  }

  private async refuseRemoved(): Promise<void> {
    const { kvdb, keys, nodeId } = this.deps;
    if ((await kvdb.get(keys.removedNodes + nodeId)) !== undefined) throw this.removed();
  }

  private removed(): PxError {
    return new PxError(
      'failed_precondition',
      `node ${this.deps.nodeId} was decommissioned and can't come back as what it was: ` +
        'wipe it ("px-node wipe"), and it joins as a new node',
    );
  }

  private hold(lease: KvLease): void {
    this.lease = lease;
    lease.onGone(() => {
      if (this.stopped) return;
      this.deps.logger.warn('the lease of this node ended while it lives; announcing it again');
      void this.reannounce();
    });
  }

  private async reannounce(): Promise<void> {
    while (!this.stopped) {
      try {
        return await this.announce();
      } catch (error) {
        if (error instanceof PxError && error.code === 'failed_precondition') {
          return this.deps.onConflict(error);
        }
        await delay(1_000);
      }
    }
  }

  private isDead(held: Presence): boolean {
    if (held.bootId !== this.deps.self.bootId) return false;
    return !this.deps.processLives(held.pid, held.startTime);
  }

  private conflict(held: Presence): PxError {
    return new PxError(
      'failed_precondition',
      `node ${this.deps.nodeId} is served by another daemon at ${held.mgmtAddress} ` +
        `(pid ${held.pid}): two daemons must not share one data directory`,
    );
  }
}
