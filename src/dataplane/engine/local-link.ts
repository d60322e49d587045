import type { ControlMessage, ControlReply, Hello, HelloReply } from '../protocol/messages.js';
import type { CoordinatorEvents, ReplicaPort } from '../protocol/ports.js';
import type { Outbox } from './outbox.js';
import {
  type ReplicaCore,
  type ReplicaFinder,
  type ReplicaRegistry,
  type SessionOwner,
  unknownReplica,
} from './replica-registry.js';

const noSession = -1;

/**
 * The coordinator's way to the replica of the same node, which lives on the
 * same I/O thread: calls go straight through, the payload stays in its slot.
 */
export class LocalLink implements ReplicaPort, SessionOwner {
  private session = noSession;
  private replica: ReplicaCore | undefined;

  constructor(
    private readonly registry: ReplicaRegistry,
    private readonly replicas: ReplicaFinder,
    private readonly outbox: Outbox,
    private readonly events: CoordinatorEvents,
    private readonly link: number,
  ) {}

  open(hello: Hello): void {
    this.close();
    this.session = this.registry.begin(this, hello.volumeId);
    this.replica = this.replicas.find(hello);
    if (this.replica !== undefined) {
      this.replica.hello(this.session, hello);
      return;
    }
    const session = this.session;
    this.outbox.defer(() => {
      if (session !== this.session) return;
      this.close();
      this.events.onHello(this.link, unknownReplica(hello));
    });
  }

  close(): void {
    const { session, replica } = this;
    if (session === noSession) return;
    this.session = noSession;
    this.replica = undefined;
    this.registry.end(session);
    // After this the replica touches no slot of ours: they may be used again at once.
    replica?.closeSession(session);
  }

  send(slot: number, completedSeq: number): void {
    this.replica?.submit(this.session, slot, completedSeq);
  }

  control(tag: number, message: ControlMessage): void {
    this.replica?.control(this.session, tag, message);
  }

  onHelloReply(reply: HelloReply): void {
    if (!reply.ok) this.close();
    this.events.onHello(this.link, reply);
  }

  onReply(slot: number, status: number): void {
    this.events.onReply(this.link, slot, status);
  }

  onControlReply(tag: number, reply: ControlReply): void {
    this.events.onControlReply(this.link, tag, reply);
  }

  onDropped(): void {
    this.session = noSession;
    this.replica = undefined;
    this.events.onLinkDown(this.link, 'the replica obeys another coordinator or was closed');
  }
}
