import { assert } from '../src/kernel/assert.js';
import type { ControlReply, HelloReply } from '../src/dataplane/protocol/messages.js';
import { OpKind, Status } from '../src/dataplane/protocol/ops.js';
import type { ReplicaHost } from '../src/dataplane/protocol/ports.js';
import type { Replica } from '../src/dataplane/protocol/replica.js';
import type { ToReplica } from './messages.js';
import type { Connection, Endpoint } from './network.js';
import type { Executor } from './process.js';
import type { SimSlots } from './slots.js';

/** Where the answers of one session go. */
interface Session {
  helloReply(reply: HelloReply): void;
  reply(slot: number, status: number): void;
  controlReply(tag: number, reply: ControlReply): void;
  dropped(): void;
}

/** A coordinator in the same process: it shares the slots. */
export type LocalSession = Session;

/** The sessions of one process's replica: what the engine's listener and local links do. */
export class ReplicaServer implements ReplicaHost {
  replica!: Replica;
  private readonly sessions = new Map<number, Session>();
  private nextSession = 1;

  constructor(
    private readonly process: Executor,
    private readonly machine: number,
    private readonly slots: SimSlots,
  ) {}

  helloReply(session: number, reply: HelloReply): void {
    const owner = this.sessions.get(session);
    if (owner === undefined) return;
    owner.helloReply(reply);
    if (!reply.ok && owner instanceof RemoteSession)
      this.process.after(0, () => this.close(session));
  }

  reply(session: number, slot: number, status: number): void {
    this.sessions.get(session)?.reply(slot, status);
  }

  controlReply(session: number, tag: number, reply: ControlReply): void {
    this.sessions.get(session)?.controlReply(tag, reply);
  }

  dropSession(session: number): void {
    this.sessions.get(session)?.dropped();
    this.sessions.delete(session);
  }

  openLocal(session: LocalSession): number {
    const id = this.nextSession++;
    this.sessions.set(id, session);
    return id;
  }

  close(session: number): void {
    if (!this.sessions.has(session)) return;
    this.replica.closeSession(session);
    this.dropSession(session);
  }

  /** The replica is being deleted: every session ends. */
  closeAll(): void {
    for (const session of [...this.sessions.keys()]) this.close(session);
  }

  /** A coordinator elsewhere has connected. */
  accept(connection: Connection): Endpoint {
    const id = this.nextSession++;
    const session = new RemoteSession(connection, this.slots);
    this.sessions.set(id, session);
    return {
      machine: this.machine,
      isAlive: () => this.process.alive,
      run: (event) => this.process.run(event),
      onMessage: (message) => {
        if (this.sessions.has(id)) this.onMessage(id, session, message as ToReplica);
      },
      onClosed: () => {
        connection.closeFromServer();
        this.close(id);
      },
    };
  }

  private onMessage(id: number, session: RemoteSession, message: ToReplica): void {
    switch (message.type) {
      case 'hello':
        this.replica.hello(id, message.hello);
        return;
      case 'request':
        this.replica.submit(id, session.take(message), message.completedSeq);
        return;
      case 'control':
        this.replica.control(id, message.tag, message.message);
        return;
    }
  }
}

class RemoteSession implements Session {
  /** Our slot of each request at work, and the coordinator's number for it. */
  private readonly atWork = new Map<number, number>();

  constructor(
    private readonly connection: Connection,
    private readonly slots: SimSlots,
  ) {}

  take(request: Extract<ToReplica, { type: 'request' }>): number {
    const slot = this.slots.acquire();
    assert(slot >= 0, 'the simulated slot table is too small');
    this.slots.kind[slot] = request.kind;
    this.slots.offset[slot] = request.offset;
    this.slots.length[slot] = request.length;
    this.slots.seq[slot] = request.seq;
    if (request.payload !== undefined) {
      this.slots.memory.set(request.payload, this.slots.address(slot));
    }
    this.atWork.set(slot, request.slot);
    return slot;
  }

  helloReply(reply: HelloReply): void {
    this.connection.sendToClient({ type: 'hello', reply });
  }

  reply(slot: number, status: number): void {
    const asked = this.atWork.get(slot);
    assert(asked !== undefined, `slot ${slot} is answered twice`);
    this.atWork.delete(slot);
    const hasPayload = status === Status.ok && this.slots.kind[slot] === OpKind.read;
    const payload = hasPayload ? this.slots.payload(slot).slice() : undefined;
    this.slots.release(slot);
    this.connection.sendToClient({ type: 'reply', slot: asked, status, payload });
  }

  controlReply(tag: number, reply: ControlReply): void {
    this.connection.sendToClient({ type: 'control', tag, reply });
  }

  dropped(): void {
    for (const slot of this.atWork.keys()) this.slots.release(slot);
    this.atWork.clear();
    this.connection.closeFromServer();
  }
}
