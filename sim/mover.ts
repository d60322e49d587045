import type { ReplicaRecord, VolumeRecord } from '../src/kernel/volume-record.js';
import { fulfilled, givenUp, withWish } from '../src/dataplane/protocol/replica-wish.js';
import type { Attachment } from './attachment.js';
import { volumeId } from './geometry.js';
import type { SimKv } from './kv.js';
import { diskKey, type SimNode } from './node.js';
import type { Plan } from './plan.js';
import type { Random } from './random.js';
import type { Scheduler } from './scheduler.js';

export interface MoverDeps {
  readonly plan: Plan;
  readonly scheduler: Scheduler;
  readonly random: Random;
  readonly kv: SimKv;
  readonly nodes: readonly SimNode[];
  readonly attachments: () => readonly Attachment[];
  readonly trace: (text: () => string) => void;
}

const pollMs = 60;
const mostReplicas = 4;

/**
 * Plays what px-node does about replicas that come and go: it wishes for
 * others, makes those that are placed on its node, deletes those that left, and
 * ends a wish that is fulfilled. What it acts on may be old by then.
 */
export class Mover {
  private nextReplica = 100;
  private polling = false;

  constructor(private readonly deps: MoverDeps) {}

  /** The record has changed: nodes hear of it, or not. */
  hint(): void {
    if (!this.polling) return;
    const { nodes, random, plan } = this.deps;
    for (const node of nodes) {
      if (random.chance(plan.watchLossChance)) continue;
      node.process?.after(random.between(1, 20), () => this.reconcile(node));
    }
  }

  /** Adds a replica, takes one away, moves one, or gives up what was wished before. */
  wish(): void {
    if (!this.polling) this.poll();
    this.change(this.anyNode(), (record) => this.wished(record));
  }

  private poll(): void {
    const { scheduler, random } = this.deps;
    this.polling = true;
    const node = this.anyNode();
    node.process?.run(() => this.reconcile(node));
    for (const attachment of this.deps.attachments()) this.relist(attachment);
    scheduler.after(pollMs * random.between(0.5, 1.5), () => this.poll());
  }

  /** A watch that has lost its hints lists again now and then. */
  private relist(attachment: Attachment): void {
    const { process } = attachment;
    const { kv, random } = this.deps;
    if (!random.chance(0.3)) return;
    kv.port(process.node.index, (event) => process.run(event)).get(volumeId, (read) => {
      if (read.outcome !== 'found' || !attachment.alive) return;
      attachment.coordinator.onRecordChanged(JSON.parse(read.value) as VolumeRecord);
    });
  }

  private anyNode(): SimNode {
    return this.deps.random.pick(this.deps.nodes);
  }

  private wished(record: VolumeRecord): VolumeRecord | undefined {
    const { random } = this.deps;
    if (record.replicaWish !== undefined) return random.chance(0.3) ? givenUp(record) : undefined;
    const count = record.replicas.length;
    const free = this.deps.nodes.filter((node) => isFree(record, node));
    const kind = random.pick(['add', 'remove', 'move', 'move', 'move'] as const);
    const adds = kind === 'remove' ? 0 : 1;
    const removes = kind === 'add' ? 0 : 1;
    const targetCount = count + adds - removes;
    if (targetCount < 1 || targetCount > mostReplicas || free.length < adds) return undefined;
    const added = adds === 0 ? [] : [this.newReplica(random.pick(free))];
    const removing = removes === 0 ? [] : [random.pick(record.replicas).id];
    return withWish(record, { targetCount, removing, cause: 'asked', blocked: '' }, added);
  }

  private newReplica(node: SimNode): ReplicaRecord {
    return { id: `r${this.nextReplica++}`, nodeId: node.name, poolId: 'p', state: 'out' };
  }

  private reconcile(node: SimNode): void {
    const { process } = node;
    if (process === null) return;
    const port = this.deps.kv.port(node.index, (event) => process.run(event));
    port.get(volumeId, (read) => {
      if (read.outcome !== 'found') return;
      const record = JSON.parse(read.value) as VolumeRecord;
      this.makeOwn(node, record);
      const left = record.leavers?.find(({ nodeId }) => nodeId === node.name);
      if (left !== undefined && node.disks.has(diskKey(volumeId, left.id)))
        node.wipeReplica(left.id);
      const next = left === undefined ? fulfilled(record) : withoutLeaver(record, left.id);
      if (next === undefined) return;
      port.compareAndSet(volumeId, read.revision, JSON.stringify(next), () => undefined);
    });
  }

  private makeOwn(node: SimNode, record: VolumeRecord): void {
    const mine = record.replicas.find(({ nodeId }) => nodeId === node.name);
    if (mine === undefined || mine.state !== 'out') return;
    if (node.disks.has(diskKey(volumeId, mine.id))) return;
    // Only the record of now may say that what is here belongs to nobody.
    const known = this.deps.kv.record.replicas.some(({ id }) => id === node.replicaId);
    if (!known) node.makeReplica(mine.id, record.sizeBytes);
  }

  private change(node: SimNode, apply: (record: VolumeRecord) => VolumeRecord | undefined): void {
    const { process } = node;
    if (process === null) return;
    const port = this.deps.kv.port(node.index, (event) => process.run(event));
    port.get(volumeId, (read) => {
      if (read.outcome !== 'found') return;
      const next = apply(JSON.parse(read.value) as VolumeRecord);
      if (next === undefined) return;
      this.deps.trace(() => `${node.name}: wishes ${JSON.stringify(next.replicaWish)}`);
      port.compareAndSet(volumeId, read.revision, JSON.stringify(next), () => undefined);
    });
  }
}

function isFree(record: VolumeRecord, node: SimNode): boolean {
  const taken = [...record.replicas, ...(record.leavers ?? [])];
  return node.process !== null && taken.every(({ nodeId }) => nodeId !== node.name);
}

function withoutLeaver(record: VolumeRecord, id: string): VolumeRecord {
  return { ...record, leavers: record.leavers?.filter((leaver) => leaver.id !== id) ?? [] };
}
