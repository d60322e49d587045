import { isEmpty } from './bitmap.js';
import { DurableMarks } from './durable-marks.js';
import { OpRing } from './op-ring.js';
import type { Geometry, SlotTable } from './ops.js';
import { Status } from './ops.js';
import type { PlantedFaults } from './planted-faults.js';
import { noFaults } from './planted-faults.js';
import type { Clock, ReplicaHost, ReplicaMeta, ReplicaStore } from './ports.js';
import { StoreTickets } from './store-tickets.js';

export interface ReplicaDeps {
  readonly store: ReplicaStore;
  readonly slots: SlotTable;
  readonly clock: Clock;
  readonly host: ReplicaHost;
  readonly geometry: Geometry;
  /** The longest lease that any coordinator of the cluster asks for. */
  readonly leaseMs: number;
  readonly faults?: PlantedFaults;
}

export const noSession = -1;

/**
 * What the parts of a replica share: its meta, its marks and ring, whom it
 * obeys, and whether its store can be trusted.
 */
export class ReplicaCore {
  meta: ReplicaMeta;
  session = noSession;
  /** The store has failed: nothing is answered well any more (rule W6). */
  failed = false;
  readonly ring: OpRing;
  readonly marks: DurableMarks;
  readonly tickets = new StoreTickets();
  readonly faults: PlantedFaults;

  constructor(readonly deps: ReplicaDeps) {
    const { store, clock } = deps;
    this.faults = deps.faults ?? noFaults;
    this.meta = store.meta;
    this.marks = new DurableMarks(store, deps.geometry, () =>
      store.saveMarks(this.tickets.issue({ type: 'marks' })),
    );
    this.ring = new OpRing(store.scratch);
    if (!store.scratchIntact) {
      this.ring.reset();
      // Before its first epoch nobody can have been granted anything.
      if (this.meta.epoch > 0) this.ring.assumeLease(clock.now() + deps.leaseMs);
    }
    const lost = this.ring.storeFailed || (store.powerLost && !isEmpty(store.marks));
    if (lost && !this.meta.lossy) {
      this.meta = { ...this.meta, lossy: true };
    }
  }

  /** Answers the request in the slot to the coordinator that is obeyed. */
  reply(slot: number, status: number): void {
    this.deps.host.reply(this.session, slot, status);
  }

  /** Answers a control message of a session that may be over. */
  answer(session: number, tag: number, status: number): void {
    if (session === this.session) this.deps.host.controlReply(session, tag, { status });
  }

  outside(slot: number): boolean {
    const { slots } = this.deps;
    return slots.offset[slot] + slots.length[slot] > this.meta.sizeBytes;
  }

  /**
   * A failed sync or save means that pages may have been dropped (Linux marks
   * them clean after reporting the error once): nothing here can be trusted
   * until a coordinator has compared it.
   */
  poison(): void {
    if (this.failed) return;
    this.failed = true;
    this.ring.noteStoreFailed(true);
    this.meta = { ...this.meta, lossy: true };
    this.deps.store.saveMeta(this.meta, this.tickets.issue({ type: 'poison' }));
  }

  /** After one sync has failed, a later one succeeds although what the first had is lost. */
  unlessFailed(status: number): number {
    return this.failed && status === Status.ok ? Status.ioError : status;
  }
}
