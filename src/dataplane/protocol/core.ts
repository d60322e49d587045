import type { CoordinatorPhase, CoordinatorOptions } from './coordinator-types.js';
import type { Link } from './link.js';
import type { ControlMessage, ControlReply } from './messages.js';
import { Status } from './ops.js';
import type { SlotTable } from './ops.js';
import type { Clock, CoordinatorHost } from './ports.js';

type ControlDone = (reply: ControlReply) => void;

interface PendingControl {
  readonly link: Link;
  readonly done: ControlDone;
  readonly expiresAt: number;
}

/** Tags of control messages start above every slot number. */
const firstControlTag = 0x10000;

/**
 * What the parts of a coordinator share: its links, its phase, its marks, and
 * the control messages that are under way. It decides nothing.
 */
export class CoordinatorCore {
  links: Link[] = [];
  phase: CoordinatorPhase = 'connecting';
  reason = '';
  sizeBytes = 0;
  /** A detach was asked for: no replica joins or leaves any more. */
  detaching = false;
  /** The volume is being detached: nothing is answered any more that needs a lease. */
  leasesGivenBack = false;
  /** Chunks that may differ on some replica or may not be stable on all. */
  marks: Uint8Array = new Uint8Array(0);
  /** Chunks written since the cleaner's last round. */
  touched: Uint8Array = new Uint8Array(0);
  private readonly controls = new Map<number, PendingControl>();
  private nextTag = firstControlTag;

  constructor(
    readonly volumeId: string,
    readonly nodeId: string,
    readonly slots: SlotTable,
    readonly clock: Clock,
    readonly host: CoordinatorHost,
    readonly options: CoordinatorOptions,
  ) {}

  /** Another coordinator has taken over, or this one has given the volume back. */
  get over(): boolean {
    return this.phase === 'fenced' || this.phase === 'closed';
  }

  inSync(): Link[] {
    return this.links.filter((link) => link.role === 'in_sync');
  }

  /** Those that can carry the volume now. */
  inSyncUp(): Link[] {
    return this.links.filter((link) => link.role === 'in_sync' && link.up && !link.doubtful);
  }

  setPhase(phase: CoordinatorPhase, reason: string): void {
    if (this.phase === phase && this.reason === reason) return;
    this.phase = phase;
    this.reason = reason;
    this.host.stateChanged();
  }

  giveLeasesBack(): void {
    this.leasesGivenBack = true;
    for (const link of this.links) link.leaseUntil = -Infinity;
  }

  /** Sends a control message; `done` is called once, with `ioError` when the link is or goes down, or it takes too long. */
  control(link: Link, message: ControlMessage, timeoutMs: number, done: ControlDone): number {
    const tag = this.nextTag;
    this.nextTag += 1;
    // Nothing would ever answer, and a link that has left the volume does not go down again.
    if (!link.up) {
      done({ status: Status.ioError });
      return tag;
    }
    this.controls.set(tag, { link, done, expiresAt: this.clock.now() + timeoutMs });
    link.port.control(tag, message);
    return tag;
  }

  onControlReply(link: Link, tag: number, reply: ControlReply): void {
    const pending = this.controls.get(tag);
    if (pending === undefined || pending.link !== link) return;
    this.controls.delete(tag);
    pending.done(reply);
  }

  failControls(link: Link): void {
    for (const [tag, pending] of [...this.controls]) {
      if (pending.link !== link || !this.controls.delete(tag)) continue;
      pending.done({ status: Status.ioError });
    }
  }

  /** The link of the first control message that has taken too long. */
  overdueControl(now: number): Link | undefined {
    for (const pending of this.controls.values()) if (now > pending.expiresAt) return pending.link;
    return undefined;
  }

  get hasControls(): boolean {
    return this.controls.size > 0;
  }
}
