import { OpKind } from './ops.js';
import type { SlotTable } from './ops.js';

/** Requests of the frontends since the coordinator began. */
export interface IoStats {
  reads: number;
  writes: number;
  flushes: number;
  discards: number;
  readBytes: number;
  writeBytes: number;
}

export function noRequests(): IoStats {
  return { reads: 0, writes: 0, flushes: 0, discards: 0, readBytes: 0, writeBytes: 0 };
}

export function countRequest(stats: IoStats, slots: SlotTable, slot: number): void {
  switch (slots.kind[slot]) {
    case OpKind.read:
      stats.reads += 1;
      stats.readBytes += slots.length[slot];
      break;
    case OpKind.write:
      stats.writes += 1;
      stats.writeBytes += slots.length[slot];
      break;
    case OpKind.zero:
      stats.discards += 1;
      break;
    default:
      stats.flushes += 1;
  }
}
