import { UnansweredRequests } from '../../frontend/fuse/unanswered.js';
import { NativeSlotTable } from '../../io/slot-table.js';
import { mapFile } from '../../sys/memory.js';

/**
 * Requests of local frontends, and of this thread's own resyncs, at a time. A
 * volume that waits for its replicas keeps up to 128, so that several such
 * volumes leave enough for the others. Untouched slots cost no memory.
 */
const frontendSlots = 768;
/** Requests of other nodes' coordinators at a time; see `SlotPool`. */
export const remoteSlots = 256;

const capacity = frontendSlots + remoteSlots;
export const slotMemoryBytes = NativeSlotTable.bytesFor(capacity);

export interface OpenSlots {
  readonly slots: NativeSlotTable;
  readonly unanswered: UnansweredRequests | undefined;
}

/** The thread's slots, in memory of its own or in memory that outlives the engine. */
export function openSlots(memoryFd: number | undefined): OpenSlots {
  if (memoryFd === undefined) {
    return { slots: new NativeSlotTable(capacity), unanswered: undefined };
  }
  // The descriptor stays open: a new holder gets the memory back through it.
  const slots = new NativeSlotTable(capacity, mapFile(memoryFd, slotMemoryBytes));
  return { slots, unanswered: new UnansweredRequests(slots) };
}
