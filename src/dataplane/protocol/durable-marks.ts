import { assert } from '../../kernel/assert.js';
import { andNotInto, bitmapBytes, hasRange, isEmpty, orInto, resized, setRange } from './bitmap.js';
import type { Geometry } from './ops.js';
import { Status } from './ops.js';
import type { ReplicaStore } from './ports.js';

type Saved = (status: number) => void;

/**
 * A replica's marks, in memory and on disk (rules M1 and M3). One save runs at
 * a time, so that what is on disk is always what the last one wrote.
 */
export class DurableMarks {
  /** Chunks whose mark is set and known to be durable: these may be written at once. */
  private ready: Uint8Array;
  /** The marks as the save under way will leave them on disk. */
  private saving: Uint8Array | undefined;
  private awaiting: Saved[] = [];
  private wanted: Saved[] = [];

  constructor(
    private readonly store: ReplicaStore,
    private readonly geometry: Geometry,
    /** Asks the store to save the marks as they are; `saved` follows. */
    private readonly save: () => void,
  ) {
    this.ready = store.marks.slice();
  }

  /** Every chunk of the range is marked on disk. */
  cover(offset: number, length: number): boolean {
    return hasRange(this.ready, this.geometry.chunkBytes, offset, length);
  }

  /** In memory; durable after the next `persist`. */
  set(offset: number, length: number): void {
    setRange(this.store.marks, this.geometry.chunkBytes, offset, length);
  }

  add(marks: Uint8Array): void {
    orInto(this.store.marks, marks);
  }

  /** Returns whether no mark is left. Nothing is saved: too many marks only cost time. */
  clear(chunks: Uint8Array): boolean {
    andNotInto(this.store.marks, chunks);
    andNotInto(this.ready, chunks);
    return isEmpty(this.store.marks);
  }

  /** Saves the marks as they are now or will be a little later. */
  persist(done: Saved): void {
    this.wanted.push(done);
    if (this.saving === undefined) this.startSave();
  }

  /** The store's answer to `save`. */
  saved(status: number): void {
    assert(this.saving !== undefined, 'marks were saved that nobody asked to save');
    const { marks } = this.store;
    if (status === Status.ok) {
      this.ready = resized(this.saving, marks.length);
      // A mark cleared meanwhile may be durable, but the next save forgets it again.
      for (let index = 0; index < this.ready.length; index += 1) this.ready[index] &= marks[index];
    }
    this.saving = undefined;
    const done = this.awaiting;
    this.awaiting = [];
    if (this.wanted.length > 0) this.startSave();
    for (const callback of done) callback(status);
  }

  grow(sizeBytes: number): void {
    this.ready = resized(this.ready, bitmapBytes(sizeBytes, this.geometry.chunkBytes));
  }

  private startSave(): void {
    this.saving = this.store.marks.slice();
    this.awaiting = this.wanted;
    this.wanted = [];
    this.save();
  }
}
