import type { VolumeRecord } from '../src/kernel/volume-record.js';
import { Coordinator } from '../src/dataplane/protocol/coordinator.js';
import type { CoordinatorOptions } from '../src/dataplane/protocol/coordinator-types.js';
import type { HelloReply } from '../src/dataplane/protocol/messages.js';
import { OpKind, Status } from '../src/dataplane/protocol/ops.js';
import type { CoordinatorHost, ReplicaPort } from '../src/dataplane/protocol/ports.js';
import type { RecordChange } from '../src/dataplane/protocol/record-changes.js';
import type { Checker } from './checker.js';
import { clusterId, maxIoSectors, sectorBytes, volumeId } from './geometry.js';
import { valueOf, type ClientOp, type OpType } from './history.js';
import { LocalPort, RemotePort, type LinkOwner } from './links.js';
import type { EngineProcess, SimNode } from './node.js';

const kindOf = {
  read: OpKind.read,
  write: OpKind.write,
  zero: OpKind.zero,
  flush: OpKind.flush,
} as const;

export type OpDone = (status: number) => void;

interface Outstanding {
  readonly op: ClientOp;
  readonly done: OpDone;
}

/** A coordinator in its process, with the requests that clients have given to it. */
export class Attachment {
  readonly coordinator: Coordinator;
  alive = true;
  /** It is about to be detached: clients stop. */
  draining = false;
  /** A snapshot is under way. */
  copying = false;
  readonly epoch: number;
  private readonly outstanding = new Map<number, Outstanding>();

  constructor(
    readonly process: EngineProcess,
    readonly record: VolumeRecord,
    private readonly nodes: readonly SimNode[],
    private readonly checker: Checker,
    options: CoordinatorOptions,
    previousOwnerDead: boolean,
  ) {
    this.epoch = record.epoch;
    const { node } = process;
    this.coordinator = new Coordinator({
      clusterId,
      volumeId,
      nodeId: node.name,
      token: record.attachToken,
      slots: process.slots,
      clock: node.clock,
      links: { create: (link, nodeId) => this.createPort(link, nodeId) },
      host: this.host(),
      options,
      previousOwnerDead,
    });
  }

  start(): void {
    this.coordinator.start(this.record);
  }

  get inFlight(): number {
    return this.outstanding.size;
  }

  /** Gives a request to the coordinator; false when there is no slot. */
  submit(type: OpType, first: number, count: number, done: OpDone): boolean {
    const { slots } = this.process;
    const slot = slots.acquire();
    if (slot < 0) return false;
    const op = this.checker.invoke(type, first, count, this.epoch);
    slots.kind[slot] = kindOf[type];
    slots.offset[slot] = type === 'flush' ? 0 : first * sectorBytes;
    slots.length[slot] = type === 'flush' ? 0 : count * sectorBytes;
    if (type === 'write') {
      const payload = slots.payload(slot);
      for (let i = 0; i < payload.length; i++) payload[i] = valueOf(op, first + i);
    }
    this.outstanding.set(slot, { op, done });
    this.process.node.env.trace(
      () => `e${this.epoch}: ${type} #${op.id} [${first},+${count}] slot ${slot} at ${op.invoke}`,
    );
    this.coordinator.submit(slot);
    return true;
  }

  /** The volume is taken away from this process without a word. */
  discard(): void {
    this.alive = false;
    for (const port of this.ports) port.close();
    for (const slot of this.outstanding.keys()) this.process.slots.release(slot);
    this.outstanding.clear();
    if (this.process.attachment === this) this.process.attachment = null;
  }

  private readonly ports: ReplicaPort[] = [];

  private createPort(link: number, nodeId: string): ReplicaPort {
    const { process } = this;
    const { node } = process;
    const owner: LinkOwner = {
      process,
      machine: node.index,
      slots: process.slots,
      events: this.coordinatorEvents(),
      isAlive: () => this.alive && process.alive,
    };
    const target = this.nodes.find((candidate) => candidate.name === nodeId) as SimNode;
    const port =
      target === node
        ? new LocalPort(owner, link, () => process.server)
        : new RemotePort(owner, link, target.index, node.env.network, (connection) =>
            target.accept(connection),
          );
    this.ports.push(port);
    return port;
  }

  /** Ports are made before the constructor has set `coordinator`. */
  private coordinatorEvents(): LinkOwner['events'] {
    return {
      onHello: (link, reply) => {
        this.process.node.env.trace(() => `e${this.epoch}: link ${link} ${describeHello(reply)}`);
        this.coordinator.onHello(link, reply);
      },
      onReply: (link, slot, status) => this.coordinator.onReply(link, slot, status),
      onControlReply: (link, tag, reply) => this.coordinator.onControlReply(link, tag, reply),
      onLinkDown: (link, reason) => {
        this.process.node.env.trace(() => `e${this.epoch}: link ${link} is down: ${reason}`);
        this.coordinator.onLinkDown(link, reason);
      },
      onRecord: (outcome) => this.coordinator.onRecord(outcome),
    };
  }

  private host(): CoordinatorHost {
    return {
      complete: (slot, status) => this.complete(slot, status),
      requestChange: (change: RecordChange) => {
        const { env } = this.process.node;
        env.trace(() => `e${this.epoch}: asks for ${JSON.stringify(change)}`);
        this.process.updater.request(volumeId, change, (outcome) => {
          if (!this.alive) return;
          env.trace(() => `e${this.epoch}: ${change.type} is ${outcome.result}`);
          this.coordinator.onRecord(outcome);
        });
      },
      stateChanged: () => undefined,
    };
  }

  private complete(slot: number, status: number): void {
    const entry = this.outstanding.get(slot);
    if (entry === undefined)
      throw new Error(`slot ${slot} was completed, which nobody had submitted`);
    this.outstanding.delete(slot);
    const { op, done } = entry;
    const { slots, node } = this.process;
    const content = slots.payload(slot).slice(0, maxIoSectors);
    slots.release(slot);
    node.env.trace(
      () =>
        `e${this.epoch}: #${op.id} ${op.type} answered ${status}` +
        (op.type === 'read' && status === Status.ok ? ` = ${content.join(',')}` : ''),
    );
    this.checker.answer(op, status === Status.ok, content);
    done(status);
  }
}

function describeHello(reply: HelloReply): string {
  if (!reply.ok) return `refuses: ${reply.code}: ${reply.message}`;
  const { lossy, blank, ringIntact, ring, marks, leaseRemainingMs } = reply;
  const flags = `${lossy ? 'lossy ' : ''}${blank ? 'blank ' : ''}${ringIntact ? '' : 'ring lost '}`;
  const lease = leaseRemainingMs.toFixed(0);
  return `welcomes: ${flags}ring [${ring.join()}] marks ${Buffer.from(marks).toString('hex')} lease ${lease}`;
}
