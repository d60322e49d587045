import type { VolumeRecord } from '../src/kernel/volume-record.js';
import { takenFrom } from '../src/dataplane/node/fence-rules.js';
import type { PlantedFaults } from '../src/dataplane/protocol/planted-faults.js';
import type { Checker } from './checker.js';
import { clusterId, volumeId } from './geometry.js';
import type { SimKv } from './kv.js';
import type { SimNode } from './node.js';
import type { Random } from './random.js';
import type { Scheduler } from './scheduler.js';

export interface FencerDeps {
  readonly scheduler: Scheduler;
  readonly random: Random;
  readonly kv: SimKv;
  readonly nodes: readonly SimNode[];
  readonly checker: Checker;
  readonly faults: PlantedFaults;
  readonly trace: (text: () => string) => void;
}

/** As px-node counts a lease of another machine's clock. */
const leaseSafety = 0.9;

/**
 * Plays `FenceNode`: takes the volume from a node in the record, and has the
 * in-sync replicas of other nodes obey the newer epoch. As soon as one does, and
 * its lease is over, nothing older may be acknowledged: the checker looks.
 */
export class Fencer {
  private begunAt = -Infinity;

  constructor(private readonly deps: FencerDeps) {}

  /** One that began a moment ago may still take the volume from whoever has it. */
  get isAtWork(): boolean {
    return this.deps.scheduler.now - this.begunAt < 1000;
  }

  fence(asker: SimNode): void {
    const { kv, trace } = this.deps;
    const { process } = asker;
    if (process === null) return;
    this.begunAt = this.deps.scheduler.now;
    const port = kv.port(asker.index, (event) => process.run(event));
    port.get(volumeId, (read) => {
      if (read.outcome !== 'found') return;
      const record = JSON.parse(read.value) as VolumeRecord;
      const taken = takenFrom(record, record.attachedOn);
      if (record.attachedOn === '' || taken?.fence === undefined) return;
      port.compareAndSet(volumeId, read.revision, JSON.stringify(taken), (outcome) => {
        if (outcome !== 'ok') return;
        trace(() => `${asker.name}: fences ${record.attachedOn} by epoch ${taken.epoch}`);
        this.confirm(taken);
      });
    });
  }

  private confirm(record: VolumeRecord): void {
    const { checker, faults, nodes, random, scheduler } = this.deps;
    const { fence } = record;
    if (fence === undefined) return;
    if (faults.has('fence_unconfirmed')) return checker.fenced(fence.epoch);
    for (const replica of record.replicas) {
      const node = nodes.find(({ name }) => name === replica.nodeId);
      if (replica.state !== 'in_sync' || node === undefined || node.name === fence.nodeId) continue;
      scheduler.after(random.between(0.5, 30), () => {
        node.process?.run(() => this.hello(node, replica.id, fence.epoch));
      });
    }
  }

  /** What `fence-replica.ts` does in the engine. */
  private hello(node: SimNode, replicaId: string, epoch: number): void {
    const server = node.process?.server;
    if (server === undefined || server === null) return;
    const { checker, scheduler } = this.deps;
    const session = server.openLocal({
      helloReply: (reply) => {
        if (reply.ok) {
          server.close(session);
          const restMs = reply.leaseRemainingMs / leaseSafety;
          scheduler.after(restMs, () => checker.fenced(epoch));
        } else if (reply.code === 'fenced') {
          // A newer coordinator came first: its own rules end the older one.
          server.close(session);
        }
      },
      reply: () => undefined,
      controlReply: () => undefined,
      dropped: () => undefined,
    });
    const hello = { clusterId, volumeId, replicaId, epoch, token: 'fence', leaseMs: 400 };
    server.replica.hello(session, { ...hello, previousOwnerDead: false });
  }
}
