import { PxError } from '../../kernel/errors.js';
import type { Logger } from '../../platform/logger.js';
import type { NodeRegistry } from '../cluster/node-registry.js';
import type { EngineClient } from '../engine-client/engine-client.js';
import type { AttachedVolumeStatus } from '../engine/api.js';
import type { Kvdb, KvKeys } from '../kvdb/port.js';

export interface InternalAttachDeps {
  readonly nodeId: string;
  readonly engine: EngineClient;
  readonly kvdb: Kvdb;
  readonly keys: KvKeys;
  readonly registry: NodeRegistry;
  readonly logger: Logger;
}

/**
 * Attaching a volume without a device, for the node's own work: resync of a
 * detached volume, snapshot, check. A key under the node's lease tells other
 * nodes that no user is behind it, so that a user's attach may push it aside.
 * Callers hold the volume's lock.
 */
export class InternalAttach {
  constructor(private readonly deps: InternalAttachDeps) {}

  /** The volume as the engine of this node coordinates it; undefined when it doesn't. */
  async current(volumeId: string): Promise<AttachedVolumeStatus | undefined> {
    try {
      return await this.deps.engine.call('volume.status', { volumeId });
    } catch (error) {
      if (error instanceof PxError && error.code === 'not_found') return undefined;
      throw error;
    }
  }

  async begin(volumeId: string): Promise<void> {
    const { engine, kvdb, keys, registry, nodeId } = this.deps;
    const put = await kvdb.txn(
      [],
      [
        {
          type: 'put',
          key: keys.maintenanceOf(volumeId),
          value: nodeId,
          leaseId: registry.leaseId(),
        },
      ],
    );
    if (put.outcome !== 'ok') {
      throw new PxError('kvdb_unavailable', 'the work on the volume could not be announced');
    }
    try {
      await engine.call('volume.attach', { volumeId, frontend: 'none', readOnly: false });
    } catch (error) {
      await this.end(volumeId);
      throw error;
    }
  }

  /** Also after a crash in between: detaching what is not attached succeeds. */
  async end(volumeId: string): Promise<void> {
    const { engine, kvdb, keys, nodeId, logger } = this.deps;
    const attached = await this.current(volumeId).catch(() => undefined);
    if (attached === undefined || attached.frontend === 'none') {
      await engine
        .call('volume.detach', { volumeId, force: attached?.phase === 'fenced' })
        .catch((error: unknown) => {
          logger.warn('an internal attach did not end cleanly', { volumeId, error });
          return engine.call('volume.detach', { volumeId, force: true });
        });
    }
    const key = keys.maintenanceOf(volumeId);
    const announced = await kvdb.get(key).catch(() => undefined);
    if (announced?.value !== nodeId) return;
    await kvdb.txn([{ key, modRevision: announced.modRevision }], [{ type: 'delete', key }]);
  }

  /** Runs `work` while this node coordinates the volume, attaching it for that if it must. */
  async with<T>(volumeId: string, work: () => Promise<T>): Promise<T> {
    const attached = await this.current(volumeId);
    if (attached !== undefined && attached.phase !== 'fenced') return work();
    if (attached !== undefined) await this.end(volumeId);
    await this.begin(volumeId);
    try {
      return await work();
    } finally {
      await this.end(volumeId).catch((error: unknown) => {
        this.deps.logger.warn('an internal attach did not end', { volumeId, error });
      });
    }
  }
}
