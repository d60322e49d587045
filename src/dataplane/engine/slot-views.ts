import type { NativeSlotTable } from '../io/slot-table.js';

/**
 * Windows on the payloads of slots. The last one of each slot is kept, because
 * the same few slots carry the same few sizes again and again, so that the hot
 * path makes none.
 */
export class SlotViews {
  private readonly views: (Uint8Array | undefined)[] = [];

  constructor(private readonly slots: NativeSlotTable) {}

  /** The first `bytes` bytes of the slot's payload. */
  get(slot: number, bytes: number): Uint8Array {
    const last = this.views[slot];
    if (last !== undefined && last.length === bytes) return last;
    const view = new Uint8Array(this.slots.buffer, this.slots.payloadOffset(slot), bytes);
    this.views[slot] = view;
    return view;
  }
}
