import type { CoordinatorCore } from './core.js';
import type { InternalIo } from './internal-io.js';
import type { IoPath } from './io-path.js';
import type { Link } from './link.js';
import type { Membership } from './membership.js';
import type { PlantedFaults } from './planted-faults.js';
import type { RangeCopier } from './range-copier.js';
import type { ResyncProgress } from './resync.js';
import { Resync } from './resync.js';
import { ResyncThrottle } from './resync-throttle.js';

/**
 * The replicas that are coming back (rules R1 to R3): one resync each, all
 * under one throttle. Who may join is the coordinator's to say.
 */
export class Joining {
  private readonly resyncs = new Map<Link, Resync>();
  private readonly throttle: ResyncThrottle;

  constructor(
    private readonly core: CoordinatorCore,
    private readonly io: IoPath,
    private readonly internal: InternalIo,
    private readonly copier: RangeCopier,
    private readonly membership: Membership,
    private readonly faults: PlantedFaults,
  ) {
    this.throttle = new ResyncThrottle(core.options.resyncBytesPerSecond);
  }

  /** From now on the replica gets every new mutation; what it missed is compared. */
  begin(link: Link): void {
    link.role = 'joining';
    link.reason = '';
    const { core, io, internal, copier, membership, throttle, faults } = this;
    const resync = new Resync(core, io, internal, copier, membership, throttle, faults, link);
    this.resyncs.set(link, resync);
    resync.advance();
  }

  /** The replica counts as in sync. */
  ended(link: Link): void {
    this.resyncs.delete(link);
  }

  /** The replica's session is over. */
  cancel(link: Link): void {
    this.resyncs.get(link)?.cancel();
    this.resyncs.delete(link);
  }

  cancelAll(): void {
    for (const resync of this.resyncs.values()) resync.cancel();
    this.resyncs.clear();
  }

  progress(link: Link): ResyncProgress | undefined {
    return this.resyncs.get(link)?.progress;
  }

  nextDeadline(): number {
    return this.throttle.nextDeadline();
  }

  tick(now: number): void {
    this.throttle.tick(now);
    for (const resync of [...this.resyncs.values()]) resync.advance();
  }
}
