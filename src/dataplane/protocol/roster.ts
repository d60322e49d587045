import type { ReplicaRecord, VolumeRecord } from '../../kernel/volume-record.js';
import type { CoordinatorCore } from './core.js';
import type { Link } from './link.js';
import type { Membership } from './membership.js';
import type { PlantedFaults } from './planted-faults.js';

export interface RosterEvents {
  arrived(replica: ReplicaRecord): void;
  departed(link: Link): void;
}

/**
 * Which replicas the volume has while it is attached (rules P1 to P3). Others
 * may bring a replica into the record at any time; only the coordinator takes
 * one out of it, and so an older record, which hints may carry, can be told
 * from a newer one: what it lacks is not yet known to it, what left is not new.
 */
export class Roster {
  private wish: VolumeRecord['replicaWish'];
  private readonly gone = new Set<string>();

  constructor(
    private readonly core: CoordinatorCore,
    private readonly membership: Membership,
    private readonly faults: PlantedFaults,
    private readonly events: RosterEvents,
  ) {}

  /** A record of our own epoch, perhaps not the newest. */
  take(record: VolumeRecord): void {
    this.wish = record.replicaWish;
    for (const replica of record.replicas) {
      const known = this.core.links.some((link) => link.replicaId === replica.id);
      if (!known && !this.gone.has(replica.id)) this.events.arrived(replica);
    }
  }

  /** It has left the record: an older one that names it must not bring it back. */
  forget(replicaId: string): void {
    this.gone.add(replicaId);
  }

  /** One that is to leave is filled all the same while it may be needed. */
  mayJoin(link: Link): boolean {
    if (!this.isLeaving(link)) return true;
    const unfilled = this.wish?.added.includes(link.replicaId) === true;
    return !unfilled && !this.enoughWithout();
  }

  /** Asks etcd to let those go that the wish wants away and that the others can do without. */
  letLeave(): void {
    for (const link of this.core.links) {
      if (!this.isLeaving(link)) continue;
      const unfilled = link.role !== 'in_sync' && this.wish?.added.includes(link.replicaId);
      if (unfilled !== true && !this.enoughWithout()) continue;
      if (this.faults.has('left_without_record') && link.role === 'in_sync') {
        this.leaveUnrecorded(link);
      } else if (link.role === 'out') {
        this.membership.depart(link);
      } else {
        this.membership.dismiss(link, 'leaves the volume');
      }
    }
  }

  private isLeaving(link: Link): boolean {
    return this.wish?.removing.includes(link.replicaId) === true;
  }

  private enoughWithout(): boolean {
    const staying = this.core.inSyncUp().filter((link) => !this.isLeaving(link));
    return staying.length > 0 && staying.length >= (this.wish?.targetCount ?? Infinity);
  }

  /** Only as a planted bug: requests go on without a replica that etcd counts on. */
  private leaveUnrecorded(link: Link): void {
    link.role = 'out';
    this.events.departed(link);
  }
}
