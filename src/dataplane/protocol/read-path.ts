import type { CoordinatorCore } from './core.js';
import type { Link } from './link.js';
import { Status } from './ops.js';
import type { PlantedFaults } from './planted-faults.js';
import { isLeased } from './read-lease.js';
import type { RequestTable } from './request-table.js';
import { SlotState } from './request-table.js';

interface ReadPathEvents {
  readonly completedSeq: number;
  dismiss(link: Link, reason: string): void;
  pump(): void;
}

/** The way of a read: to the nearest in-sync replica, and back under a lease (rules L1 and L3). */
export class ReadPath {
  constructor(
    private readonly core: CoordinatorCore,
    private readonly requests: RequestTable,
    private readonly events: ReadPathEvents,
    private readonly faults: PlantedFaults,
  ) {}

  /** False when no replica can be asked now. */
  start(slot: number): boolean {
    this.requests.pending[slot] = 0;
    this.requests.errored[slot] = 0;
    return this.send(slot);
  }

  onReply(link: Link, slot: number, status: number): void {
    const { requests, core } = this;
    if (status === Status.ok) {
      requests.state[slot] = SlotState.answered;
      this.answer(slot);
      return;
    }
    requests.others.remove(slot);
    requests.errored[slot] |= link.bit;
    const another = core
      .inSync()
      .some((candidate) => (requests.errored[slot] & candidate.bit) === 0);
    if (!another) {
      requests.state[slot] = SlotState.idle;
      core.host.complete(slot, status);
      this.events.pump();
      return;
    }
    if (!this.send(slot)) requests.enqueue(slot);
    this.events.dismiss(link, `reading failed with errno ${status}`);
  }

  /** Answers a read whose data is there; the lease is looked at after the data was read. */
  answer(slot: number): void {
    if (!isLeased(this.core, this.faults)) return;
    this.requests.others.remove(slot);
    this.requests.state[slot] = SlotState.idle;
    this.core.host.complete(slot, Status.ok);
  }

  /** The link's session ended: its reads go to another replica. */
  onLinkDown(link: Link): void {
    const { requests } = this;
    for (let at = requests.others.size - 1; at >= 0; at -= 1) {
      const slot = requests.others.at(at);
      const lost = requests.state[slot] === SlotState.read;
      if (!lost || requests.readLink[slot] !== link.index) continue;
      requests.others.remove(slot);
      requests.enqueue(slot);
    }
  }

  private send(slot: number): boolean {
    const { requests } = this;
    const best = this.nearest(requests.errored[slot]);
    if (best === undefined) return false;
    requests.state[slot] = SlotState.read;
    requests.readLink[slot] = best.index;
    requests.startedAt[slot] = this.core.clock.now();
    requests.others.add(slot);
    best.port.send(slot, this.events.completedSeq);
    return true;
  }

  /** The local replica, else the one whose heartbeats come back soonest. */
  private nearest(except: number): Link | undefined {
    let best: Link | undefined;
    const { links } = this.core;
    for (let index = 0; index < links.length; index += 1) {
      const link = links[index];
      if (link.role !== 'in_sync' || !link.up || link.doubtful) continue;
      if ((except & link.bit) !== 0) continue;
      const nearer = best === undefined || (!best.local && link.roundTripMs < best.roundTripMs);
      if (link.local || nearer) best = link;
    }
    return best;
  }
}
