import type { VolumeRecord } from '../src/kernel/volume-record.js';
import type { CoordinatorOptions } from '../src/dataplane/protocol/coordinator-types.js';
import { Status } from '../src/dataplane/protocol/ops.js';
import { Attachment } from './attachment.js';
import { Violation, type Checker } from './checker.js';
import type { Clients } from './clients.js';
import { sectorBytes, volumeId } from './geometry.js';
import type { SimKv } from './kv.js';
import { diskKey, type EngineProcess, type SimNode } from './node.js';
import type { Plan } from './plan.js';
import type { Random } from './random.js';
import type { Scheduler } from './scheduler.js';

const pollMs = 40;
/** Sectors; keeps a run short. */
const largestVolume = 64;

export interface ManagerDeps {
  readonly plan: Plan;
  readonly scheduler: Scheduler;
  readonly random: Random;
  readonly kv: SimKv;
  readonly nodes: readonly SimNode[];
  readonly checker: Checker;
  readonly clients: Clients;
  readonly options: CoordinatorOptions;
  readonly trace: (text: () => string) => void;
}

/**
 * Plays px-node and Kubernetes: keeps the volume attached somewhere, moves it
 * when its node is gone, sometimes while the old coordinator is still at work.
 */
export class Manager {
  attachments: Attachment[] = [];
  private attaching: EngineProcess | null = null;
  private attachBegunAt = 0;
  private lastNode: SimNode | null = null;
  private nextToken = 1;
  private nextSnapshot = 1;
  /** While set, nothing is attached anew. */
  resting = false;

  constructor(private readonly deps: ManagerDeps) {}

  start(): void {
    this.poll();
  }

  /** The attachment that etcd names, if it lives. */
  get current(): Attachment | undefined {
    const { attachToken } = this.deps.kv.record;
    return this.attachments.find(
      (attachment) =>
        attachment.record.attachToken === attachToken &&
        attachment.alive &&
        attachment.process.alive,
    );
  }

  /** A process is at it, or a transaction of one that was given up may still go through. */
  get isAttaching(): boolean {
    const { kv, nodes } = this.deps;
    const isBusy = (node: SimNode) => node.process?.updater.isBusy(volumeId) === true;
    return this.attaching !== null || kv.lateTransactions > 0 || nodes.some(isBusy);
  }

  /** Etcd's hint that the record has changed. */
  hint(record: VolumeRecord): void {
    const { random, plan } = this.deps;
    for (const attachment of this.attachments) {
      if (random.chance(plan.watchLossChance)) continue;
      attachment.process.after(random.between(0.5, 10), () => {
        if (attachment.alive) attachment.coordinator.onRecordChanged(record);
      });
    }
  }

  /** Attaches elsewhere without asking the present coordinator. */
  steal(): void {
    const others = this.usableNodes().filter((node) => node !== this.current?.process.node);
    if (others.length > 0) this.attach(this.deps.random.pick(others));
  }

  detach(done: () => void = () => undefined): void {
    const attachment = this.current;
    if (attachment === undefined || attachment.draining || attachment.process.paused) return;
    const { checker, kv, trace } = this.deps;
    attachment.draining = true;
    // One that had not begun to serve has made nothing equal, and leaves that to the next.
    const served = attachment.coordinator.status().phase === 'serving';
    trace(() => `e${attachment.epoch}: detach`);
    attachment.process.run(() => {
      attachment.coordinator.detach(false, () => {
        trace(() => `e${attachment.epoch}: detached`);
        const clean = kv.record.epoch === attachment.epoch && kv.record.attachedOn === '';
        attachment.discard();
        if (clean && served) checker.quiet(`after the detach of epoch ${attachment.epoch}`);
        done();
      });
    });
  }

  snapshot(): void {
    const attachment = this.current;
    if (attachment === undefined || attachment.copying || attachment.draining) return;
    if (attachment.process.paused) return;
    const { checker, nodes, kv, trace } = this.deps;
    const name = `snap${this.nextSnapshot++}`;
    const replicas = new Map(kv.record.replicas.map((replica) => [replica.id, replica.id]));
    attachment.copying = true;
    const invoke = checker.moment();
    trace(() => `e${attachment.epoch}: snapshot ${name} at ${invoke}`);
    attachment.process.run(() => {
      attachment.coordinator.copyTo(name, replicas, (status, copied) => {
        attachment.copying = false;
        trace(() => `e${attachment.epoch}: ${name} ended with ${status}: ${copied.join(',')}`);
        if (status !== Status.ok) return;
        const contents = new Map<string, Uint32Array>();
        for (const id of copied) {
          const owner = nodes.find((node) => node.disks.has(diskKey(name, id)));
          const disk = owner?.disks.get(diskKey(name, id));
          contents.set(id, disk?.cache ?? new Uint32Array(0));
        }
        checker.snapshotDone(name, invoke, contents);
      });
    });
  }

  /** The record grows first, by px-node's own compare-and-set; then the coordinator is told. */
  grow(): void {
    const attachment = this.current;
    if (attachment === undefined || attachment.draining || attachment.process.paused) return;
    const { kv, checker, random, trace } = this.deps;
    const { process } = attachment;
    const port = kv.port(process.node.index, (event) => process.run(event));
    port.get(volumeId, (read) => {
      if (read.outcome !== 'found' || !attachment.alive) return;
      const record = JSON.parse(read.value) as VolumeRecord;
      // Another coordinator has begun, with the size that the record had then.
      if (record.epoch !== attachment.epoch) return;
      const sectors = record.sizeBytes / sectorBytes + 1 + random.int(8);
      if (sectors > largestVolume) return;
      const sizeBytes = sectors * sectorBytes;
      const grown = JSON.stringify({ ...record, sizeBytes });
      port.compareAndSet(volumeId, read.revision, grown, (outcome) => {
        if (outcome !== 'ok' || !attachment.alive) return;
        trace(() => `e${attachment.epoch}: grow to ${sectors} sectors`);
        attachment.coordinator.resize(sizeBytes, (status) => {
          trace(() => `e${attachment.epoch}: growing to ${sectors} ended with ${status}`);
          if (status === Status.ok) checker.grown(sectors);
        });
      });
    });
  }

  /** In-sync replicas never differ, also while they are written. */
  check(): void {
    const attachment = this.current;
    if (attachment === undefined || attachment.draining || attachment.process.paused) return;
    attachment.process.run(() => {
      attachment.coordinator.check(({ status, differences }) => {
        this.deps.trace(() => `e${attachment.epoch}: check ended with ${status}`);
        const [difference] = differences;
        if (difference === undefined) return;
        const sector = difference.offset / sectorBytes;
        throw new Violation('in_sync_equal', `a check found sector ${sector} to differ`);
      });
    });
  }

  private poll(): void {
    const { scheduler, random } = this.deps;
    for (const attachment of [...this.attachments]) {
      if (!attachment.process.alive) attachment.alive = false;
      if (attachment.alive && !attachment.process.paused) this.retireIfFenced(attachment);
    }
    this.attachments = this.attachments.filter((attachment) => attachment.alive);
    const given = this.attaching;
    // A process that died while attaching, or hangs, is not waited for.
    if (given !== null && (!given.alive || scheduler.now - this.attachBegunAt > 1000)) {
      this.attaching = null;
    }
    if (this.current === undefined && this.attaching === null && !this.resting) {
      const usable = this.usableNodes();
      const same = this.lastNode !== null && usable.includes(this.lastNode);
      if (same && random.chance(this.deps.plan.preferSameNode))
        this.attach(this.lastNode as SimNode);
      else if (usable.length > 0) this.attach(random.pick(usable));
    }
    scheduler.after(pollMs * random.between(0.5, 1.5), () => this.poll());
  }

  private retireIfFenced(attachment: Attachment): void {
    if (attachment.coordinator.status().phase !== 'fenced') return;
    if (this.deps.random.chance(0.5)) {
      this.deps.trace(() => `e${attachment.epoch}: retired`);
      attachment.discard();
    }
  }

  private usableNodes(): SimNode[] {
    return this.deps.nodes.filter((node) => node.process !== null && !node.process.paused);
  }

  private attach(node: SimNode): void {
    const { process } = node;
    if (process === null || this.attaching !== null) return;
    const { trace } = this.deps;
    this.attaching = process;
    this.attachBegunAt = this.deps.scheduler.now;
    this.lastNode = node;
    trace(() => `attach on ${node.name}`);
    process.attachment?.discard();
    const kv = this.deps.kv.port(node.index, (event) => process.run(event));
    kv.get(volumeId, (read) => {
      if (this.attaching !== process) return;
      if (read.outcome !== 'found') {
        this.attaching = null;
        return;
      }
      this.take(process, JSON.parse(read.value) as VolumeRecord);
    });
  }

  private take(process: EngineProcess, seen: VolumeRecord): void {
    const { node } = process;
    const token = `t${this.nextToken++}`;
    // Its own node's holder has reaped whoever held the volume here.
    const previousOwnerDead = seen.attachedOn === node.name;
    const change = { type: 'attach', nodeId: node.name, token, seenEpoch: seen.epoch } as const;
    process.updater.request(volumeId, change, (outcome) => {
      if (this.attaching === process) this.attaching = null;
      const { record } = outcome;
      if (outcome.result !== 'done' || record?.attachToken !== token) return;
      if (process.attachment !== null) return;
      this.begin(process, record, previousOwnerDead);
    });
  }

  private begin(process: EngineProcess, record: VolumeRecord, previousOwnerDead: boolean): void {
    const { nodes, checker, options, clients, trace } = this.deps;
    trace(
      () => `e${record.epoch}: begins on ${process.node.name} (${process.node.replicaId ?? '-'})`,
    );
    const attachment = new Attachment(process, record, nodes, checker, options, previousOwnerDead);
    process.attachment = attachment;
    this.attachments.push(attachment);
    attachment.start();
    clients.use(attachment);
  }
}
