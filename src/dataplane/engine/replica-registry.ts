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
  /** The replica is another session's now, or closed, and touches no slot of this one any more. */
  onDropped(): void;
}

/** Finds, or opens, the replica that a coordinator asks for. */
export interface ReplicaFinder {
  find(hello: Hello): ReplicaCore | undefined;
}

interface Session {
  readonly owner: SessionOwner;
  readonly volumeId: string;
}

/** The sessions of one I/O thread, by number: how the replicas' answers find their way. */
export class ReplicaRegistry implements ReplicaHost {
  private readonly sessions = new Map<number, Session>();
  private lastSession = 0;

  begin(owner: SessionOwner, volumeId: string): number {
    this.lastSession++;
    this.sessions.set(this.lastSession, { owner, volumeId });
    return this.lastSession;
  }

  /** Nothing is delivered to the session's owner any more. */
  end(session: number): void {
    this.sessions.delete(session);
  }

  helloReply(session: number, reply: HelloReply): void {
    this.sessions.get(session)?.owner.onHelloReply(reply);
  }

  reply(session: number, slot: number, status: number): void {
    this.sessions.get(session)?.owner.onReply(slot, status);
  }

  controlReply(session: number, tag: number, reply: ControlReply): void {
    this.sessions.get(session)?.owner.onControlReply(tag, reply);
  }

  dropSession(session: number): void {
    const found = this.sessions.get(session);
    this.sessions.delete(session);
    found?.owner.onDropped();
  }

  /** The replica is being closed: all its sessions end. */
  dropVolume(volumeId: string, replica: ReplicaCore): void {
    for (const [session, entry] of [...this.sessions]) {
      if (entry.volumeId !== volumeId) continue;
      replica.closeSession(session);
      this.dropSession(session);
    }
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
