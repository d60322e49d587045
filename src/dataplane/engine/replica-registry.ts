import { assert } from '../../kernel/assert.js';
import type { ControlMessage, ControlReply, Hello, HelloReply } from '../protocol/messages.js';
import type { ReplicaHost } from '../protocol/ports.js';

/** The replica core as its sessions see it. */
export interface ReplicaCore {
  hello(session: number, hello: Hello): void;
  submit(session: number, slot: number, completedSeq: number): void;
  control(session: number, tag: number, message: ControlMessage): void;
  closeSession(session: number): void;
}

/** One coordinator's session with one replica here, from this process or another node. */
export interface SessionOwner {
  onHelloReply(reply: HelloReply): void;
  onReply(slot: number, status: number): void;
  onControlReply(tag: number, reply: ControlReply): void;
  /** The replica obeys another session now and touches no slot of this one any more. */
  onDropped(): void;
}

/** The replicas of one I/O thread and the sessions that they answer. */
export class ReplicaRegistry implements ReplicaHost {
  private readonly replicas = new Map<string, ReplicaCore>();
  private readonly sessions = new Map<number, SessionOwner>();
  private lastSession = 0;

  add(volumeId: string, replica: ReplicaCore): void {
    assert(!this.replicas.has(volumeId), `two replicas of volume ${volumeId} on one node`);
    this.replicas.set(volumeId, replica);
  }

  remove(volumeId: string): void {
    this.replicas.delete(volumeId);
  }

  find(volumeId: string): ReplicaCore | undefined {
    return this.replicas.get(volumeId);
  }

  begin(owner: SessionOwner): number {
    this.lastSession++;
    this.sessions.set(this.lastSession, owner);
    return this.lastSession;
  }

  /** Nothing is delivered to the session's owner any more. */
  end(session: number): void {
    this.sessions.delete(session);
  }

  helloReply(session: number, reply: HelloReply): void {
    this.sessions.get(session)?.onHelloReply(reply);
  }

  reply(session: number, slot: number, status: number): void {
    this.sessions.get(session)?.onReply(slot, status);
  }

  controlReply(session: number, tag: number, reply: ControlReply): void {
    this.sessions.get(session)?.onControlReply(tag, reply);
  }

  dropSession(session: number): void {
    const owner = this.sessions.get(session);
    this.sessions.delete(session);
    owner?.onDropped();
  }
}

/** The answer to a hello for a volume that has no replica here. */
export function unknownReplica(hello: Hello): HelloReply {
  return {
    ok: false,
    code: 'unknown_replica',
    message: `this node has no replica of volume ${hello.volumeId}`,
    epoch: 0,
  };
}
