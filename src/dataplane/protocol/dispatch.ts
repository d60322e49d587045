import { assert } from '../../kernel/assert.js';
import type { CoordinatorCore } from './core.js';
import type { Link } from './link.js';
import type { PlantedFaults } from './planted-faults.js';
import type { RequestTable } from './request-table.js';
import { SlotState } from './request-table.js';
import type { SequenceWindow } from './sequence-window.js';
import { skippedByFault } from './skipped-by-fault.js';

/** Sends mutations and flushes to the replicas whose answers they need (rule W1). */
export class Dispatch {
  constructor(
    private readonly core: CoordinatorCore,
    private readonly requests: RequestTable,
    private readonly sequence: SequenceWindow,
    private readonly faults: PlantedFaults,
  ) {}

  /** Notes which replicas must answer, and asks those that are there. */
  send(slot: number): void {
    const { requests } = this;
    const { links } = this.core;
    let mask = 0;
    for (let index = 0; index < links.length; index += 1) {
      if (links[index].required) mask |= links[index].bit;
    }
    assert(mask !== 0, 'a volume has a replica that is required');
    if (this.faults.size > 0) {
      const flush = requests.state[slot] === SlotState.flush;
      mask &= ~skippedByFault(this.faults, links, flush);
    }
    requests.pending[slot] = mask;
    requests.assigned[slot] = mask;
    requests.sent[slot] = 0;
    requests.errored[slot] = 0;
    requests.startedAt[slot] = this.core.clock.now();
    // Remote replicas first: their work overlaps with the local one's.
    for (let index = 0; index < links.length; index += 1) {
      const link = links[index];
      if ((mask & link.bit) !== 0 && link.up && !link.local) this.sendTo(link, slot);
    }
    for (let index = 0; index < links.length; index += 1) {
      const link = links[index];
      if ((mask & link.bit) !== 0 && link.up && link.local) this.sendTo(link, slot);
    }
  }

  /** To a replica that has a new session since it was asked. */
  sendAgain(link: Link, slot: number): void {
    this.requests.errored[slot] &= ~link.bit;
    this.requests.startedAt[slot] = this.core.clock.now();
    this.sendTo(link, slot);
  }

  private sendTo(link: Link, slot: number): void {
    this.requests.sent[slot] |= link.bit;
    link.port.send(slot, this.sequence.completed);
  }
}
