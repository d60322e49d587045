import { release } from 'node:os';
import type { NativeSlotTable } from '../../io/slot-table.js';
import { getU64, putU64, requestBytes, Word } from './fuse-wire.js';

/**
 * Kernels before 6.9 do not send unanswered requests again to a new engine, so
 * there the slots' memory belongs to the holder and outlives the engine: a slot
 * whose request has a length holds a request that was read and not answered.
 *
 * The kernel copies a request into the slot and counts it as read within one
 * system call, which a kill cannot cut in two; so nothing is ever lost. A kill
 * between the answer and its note here makes one request be done twice. That is
 * harmless: it is done again before any later request is read, its answer is
 * refused with ENOENT, and block I/O may be repeated.
 */
export class UnansweredRequests {
  private readonly slots: NativeSlotTable;
  private readonly words: Uint32Array;
  private readonly found = new Map<number, number[]>();

  /** Takes every slot with a request of the earlier process out of the free ones. */
  constructor(slots: NativeSlotTable) {
    this.slots = slots;
    this.words = new Uint32Array(slots.buffer);
    for (let slot = 0; slot < slots.capacity; slot++) {
      if (this.words[this.request(slot) + Word.length] === 0) continue;
      const token = getU64(this.words, slots.headerOffset(slot) >> 2);
      slots.claim(slot);
      this.found.set(token, [...(this.found.get(token) ?? []), slot]);
    }
  }

  /** The requests of one mount, which the caller owns from now on. */
  take(mountToken: number): readonly number[] {
    const slots = this.found.get(mountToken) ?? [];
    this.found.delete(mountToken);
    return slots;
  }

  /** Frees what no mount has asked for: those mounts are gone. */
  dropRest(): void {
    for (const slot of [...this.found.values()].flat()) {
      this.words[this.request(slot) + Word.length] = 0;
      this.slots.release(slot);
    }
    this.found.clear();
  }

  private request(slot: number): number {
    return (this.slots.payloadOffset(slot) - requestBytes) >> 2;
  }
}

/** Says, before a request is read into the slot, whose it will be. */
export function tagSlot(
  words: Uint32Array,
  slots: NativeSlotTable,
  slot: number,
  mountToken: number,
): void {
  putU64(words, slots.headerOffset(slot) >> 2, mountToken);
}

/** Whether the running kernel sends unanswered requests again (FUSE_NOTIFY_RESEND, 6.9). */
export function kernelResends(kernelRelease = release()): boolean {
  const [major = 0, minor = 0] = kernelRelease.split('.').map(Number);
  return major > 6 || (major === 6 && minor >= 9);
}
