import type { SlotTable } from '../protocol/ops.js';
import { payloadChecksum } from '../wire/checksum.js';
import type { SlotViews } from './slot-views.js';

/**
 * Checksums of the payloads of writes. The coordinator hands one write to all
 * its links in a row, so the last one is kept: a volume with two remote
 * replicas has each payload summed once.
 *
 * It is kept for the same turn only, as no write that has left is answered
 * before the next. Were it wrong all the same, the peer would refuse the frame.
 */
export class WriteChecksums {
  private slot = -1;
  private turn = -1;
  private seq = 0;
  private offset = 0;
  private length = 0;
  private checksum = 0;

  constructor(
    private readonly slots: SlotTable,
    private readonly views: SlotViews,
  ) {}

  of(slot: number, turn: number): number {
    const seq = this.slots.seq[slot];
    const offset = this.slots.offset[slot];
    const length = this.slots.length[slot];
    const same = slot === this.slot && turn === this.turn && seq === this.seq;
    // The coordinator's own copies have no number and may use a slot again within a turn.
    if (same && seq > 0 && offset === this.offset && length === this.length) return this.checksum;
    this.slot = slot;
    this.turn = turn;
    this.seq = seq;
    this.offset = offset;
    this.length = length;
    this.checksum = payloadChecksum(this.views.get(slot, length));
    return this.checksum;
  }
}
