import type { ControlMessage, Hello } from '../src/dataplane/protocol/messages.js';
import { OpKind } from '../src/dataplane/protocol/ops.js';
import type { CoordinatorEvents, ReplicaPort } from '../src/dataplane/protocol/ports.js';
import type { ToCoordinator } from './messages.js';
import type { Connection, Endpoint, Network } from './network.js';
import type { Executor } from './process.js';
import type { ReplicaServer } from './replica-server.js';
import type { SimSlots } from './slots.js';

/** What a link needs of the coordinator that it serves. */
export interface LinkOwner {
  readonly process: Executor;
  readonly machine: number;
  readonly slots: SimSlots;
  readonly events: CoordinatorEvents;
  /** False once the coordinator was thrown away. */
  isAlive(): boolean;
}

/** The port to a replica on another machine. */
export class RemotePort implements ReplicaPort {
  private connection: Connection | null = null;

  constructor(
    private readonly owner: LinkOwner,
    private readonly link: number,
    private readonly machine: number,
    private readonly network: Network,
    private readonly accept: (connection: Connection) => Endpoint | null | 'silent',
  ) {}

  open(hello: Hello): void {
    this.close();
    const { owner, link } = this;
    const connection: Connection = this.network.connect(
      {
        machine: owner.machine,
        isAlive: () => owner.process.alive,
        run: (event) => owner.process.run(event),
        onMessage: (message) => {
          if (this.connection === connection && owner.isAlive()) {
            this.onMessage(message as ToCoordinator);
          }
        },
        onClosed: (reason) => {
          if (this.connection !== connection || !owner.isAlive()) return;
          this.connection = null;
          connection.closeFromClient();
          owner.events.onLinkDown(link, reason);
        },
      },
      this.machine,
      this.accept,
    );
    this.connection = connection;
    connection.sendToServer({ type: 'hello', hello });
  }

  close(): void {
    this.connection?.closeFromClient();
    this.connection = null;
  }

  send(slot: number, completedSeq: number): void {
    const { slots } = this.owner;
    const kind = slots.kind[slot];
    this.connection?.sendToServer({
      type: 'request',
      slot,
      kind,
      offset: slots.offset[slot],
      length: slots.length[slot],
      seq: slots.seq[slot],
      completedSeq,
      payload: kind === OpKind.write ? slots.payload(slot).slice() : undefined,
    });
  }

  control(tag: number, message: ControlMessage): void {
    const copy =
      message.type === 'clear_marks'
        ? { ...message, chunks: message.chunks.slice() }
        : message.type === 'admit'
          ? { ...message, marks: message.marks.slice() }
          : message;
    this.connection?.sendToServer({ type: 'control', tag, message: copy });
  }

  private onMessage(message: ToCoordinator): void {
    const { owner, link } = this;
    switch (message.type) {
      case 'hello':
        // A refusal ends the session; the peer's closing is not told as well.
        if (!message.reply.ok) this.close();
        owner.events.onHello(link, message.reply);
        return;
      case 'reply':
        if (message.payload !== undefined) {
          owner.slots.memory.set(message.payload, owner.slots.address(message.slot));
        }
        owner.events.onReply(link, message.slot, message.status);
        return;
      case 'control':
        owner.events.onControlReply(link, message.tag, message.reply);
        return;
    }
  }
}

const closed = -1;

const noReplica = { ok: false, code: 'unknown_replica', message: 'no replica', epoch: 0 } as const;

/** The port to the replica in the coordinator's own process: no copy, answers at once. */
export class LocalPort implements ReplicaPort {
  private session = closed;
  private opened = 0;
  private server: ReplicaServer | null = null;

  constructor(
    private readonly owner: LinkOwner,
    private readonly link: number,
    /** Null while the machine has no replica. */
    private readonly serverNow: () => ReplicaServer | null,
  ) {}

  open(hello: Hello): void {
    this.close();
    const { owner, link } = this;
    const server = (this.server = this.serverNow());
    const opened = ++this.opened;
    if (server === null) {
      owner.process.after(0, () => {
        if (this.opened === opened && owner.isAlive()) owner.events.onHello(link, noReplica);
      });
      return;
    }
    const session: number = server.openLocal({
      helloReply: (reply) => {
        if (!this.isCurrent(session)) return;
        if (!reply.ok) this.close();
        owner.events.onHello(link, reply);
      },
      reply: (slot, status) => {
        if (this.isCurrent(session)) owner.events.onReply(link, slot, status);
      },
      controlReply: (tag, reply) => {
        if (this.isCurrent(session)) owner.events.onControlReply(link, tag, reply);
      },
      dropped: () => {
        if (!this.isCurrent(session)) return;
        this.session = closed;
        owner.events.onLinkDown(link, 'another coordinator took the replica over');
      },
    });
    this.session = session;
    server.replica.hello(session, hello);
  }

  close(): void {
    const session = this.session;
    this.session = closed;
    this.opened++;
    if (session !== closed) this.server?.close(session);
  }

  send(slot: number, completedSeq: number): void {
    if (this.session === closed) return;
    this.server?.replica.submit(this.session, slot, completedSeq);
  }

  control(tag: number, message: ControlMessage): void {
    if (this.session === closed) return;
    this.server?.replica.control(this.session, tag, message);
  }

  private isCurrent(session: number): boolean {
    return this.session === session && this.owner.isAlive();
  }
}
