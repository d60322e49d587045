import { assert } from '../src/kernel/assert.js';
import { bitmapBytes, resized } from '../src/dataplane/protocol/bitmap.js';
import { scratchLength } from '../src/dataplane/protocol/op-ring.js';
import { Status } from '../src/dataplane/protocol/ops.js';
import type { ReplicaMeta, ReplicaStore } from '../src/dataplane/protocol/ports.js';
import { chunkBytes, digestBytes, sectorBytes, sectorsPerHashBlock } from './geometry.js';
import type { Random } from './random.js';

/** How a machine's disk behaves at the moment; the fault plan changes it during a run. */
export interface DiskMood {
  /** Chance that a read or write fails with EIO. */
  ioErrorChance: number;
  /** Chance that a sync, or a save of marks or meta, fails with EIO. */
  syncErrorChance: number;
  /** New blocks find no space; overwrites go on. */
  full: boolean;
  syncMinMs: number;
  syncMaxMs: number;
  /** A sync that begins now does not end before this moment of the run. */
  stalledUntil: number;
}

export function calmDisk(): DiskMood {
  return {
    ioErrorChance: 0,
    syncErrorChance: 0,
    full: false,
    syncMinMs: 0.1,
    syncMaxMs: 2,
    stalledUntil: 0,
  };
}

/** Work that a disk has accepted and not finished: `apply` is its effect. */
interface PendingWork {
  apply(): void;
  /** A failure that nobody was told of: the kernel tells whoever syncs next. */
  readonly isFailure?: boolean;
}

/**
 * What one replica has on a machine's disk.
 *
 * `cache` is what reads see, `stable` what a power cut leaves. The kernel may
 * write a dirty sector back whenever it likes, and sectors reach the disk in
 * any order, so a cut keeps a random subset of the unsynced ones.
 */
export class ReplicaDisk {
  cache: Uint32Array;
  stable: Uint32Array;
  dirty: Uint8Array;
  private allocated: Uint8Array;
  /** Sectors whose write-back failed: the kernel calls them clean and never writes them again. */
  private lost: Uint8Array;
  private stableMarks: Uint8Array;
  private marksVersion = 0;
  private stableMeta: ReplicaMeta;
  private metaVersion = 0;
  private nextVersion = 1;
  scratch: Float64Array | null = null;
  /** Stays set until a store that was opened after the cut has saved its meta. */
  powerLost = false;
  /** Accepted and not finished, in order: the disk finishes one call after the other. */
  readonly pending: PendingWork[] = [];
  lastDoneAt = 0;

  constructor(
    private readonly random: Random,
    meta: ReplicaMeta,
    content?: Uint32Array,
  ) {
    const sectors = meta.sizeBytes / sectorBytes;
    this.cache = content?.slice() ?? new Uint32Array(sectors);
    this.stable = this.cache.slice();
    this.dirty = new Uint8Array(sectors);
    this.allocated = new Uint8Array(sectors);
    this.lost = new Uint8Array(sectors);
    this.stableMeta = meta;
    this.stableMarks = new Uint8Array(Math.ceil(meta.sizeBytes / chunkBytes / 8));
  }

  get meta(): ReplicaMeta {
    return this.stableMeta;
  }

  get marks(): Uint8Array {
    return this.stableMarks;
  }

  put(sector: number, value: number): void {
    // Now and then the older content of a dirty sector was written back before.
    if (this.dirty[sector] === 1 && this.lost[sector] === 0 && this.random.chance(0.1)) {
      this.stable[sector] = this.cache[sector];
    }
    this.cache[sector] = value;
    this.dirty[sector] = 1;
    this.lost[sector] = 0;
    this.allocated[sector] = value === 0 ? 0 : 1;
  }

  hasSpaceFor(sector: number): boolean {
    return this.allocated[sector] === 1;
  }

  /** A page is written as it is when its turn comes, not as it was when the sync was asked for. */
  beginSync(): PendingWork {
    const sectors: number[] = [];
    for (let sector = 0; sector < this.dirty.length; sector++) {
      if (this.dirty[sector] === 1 && this.lost[sector] === 0) sectors.push(sector);
    }
    return {
      apply: () => {
        for (const sector of sectors) {
          if (this.dirty[sector] === 0 || this.lost[sector] === 1) continue;
          this.stable[sector] = this.cache[sector];
          this.dirty[sector] = 0;
        }
      },
    };
  }

  /** A failed sync: what was dirty stays readable and is never written. */
  failSync(): void {
    for (let sector = 0; sector < this.dirty.length; sector++) {
      if (this.dirty[sector] === 1 && this.random.chance(0.5)) this.lost[sector] = 1;
    }
  }

  /** Forgets the pages that could not be written; true when there were any. */
  dropLost(): boolean {
    if (!this.lost.includes(1)) return false;
    for (let sector = 0; sector < this.lost.length; sector++) {
      if (this.lost[sector] === 0) continue;
      this.lost[sector] = 0;
      this.dirty[sector] = 0;
      this.cache[sector] = this.stable[sector];
      this.allocated[sector] = this.cache[sector] === 0 ? 0 : 1;
    }
    return true;
  }

  beginSaveMarks(marks: Uint8Array): PendingWork {
    const copy = marks.slice();
    const version = this.nextVersion++;
    return {
      apply: () => {
        if (version < this.marksVersion) return;
        this.marksVersion = version;
        this.stableMarks = copy;
      },
    };
  }

  beginSaveMeta(meta: ReplicaMeta): PendingWork {
    const version = this.nextVersion++;
    return {
      apply: () => {
        if (version < this.metaVersion) return;
        this.metaVersion = version;
        this.stableMeta = meta;
        this.powerLost = false;
      },
    };
  }

  /** The process is gone: what it had begun may or may not have an effect. */
  crashProcess(): void {
    const done = this.random.int(this.pending.length + 1);
    for (const work of this.pending.slice(0, done)) if (work.isFailure !== true) work.apply();
    this.pending.length = 0;
    this.lastDoneAt = 0;
  }

  /** `lossChance`: how likely an unsynced sector is lost. */
  cutPower(lossChance: number): void {
    this.crashProcess();
    for (let sector = 0; sector < this.dirty.length; sector++) {
      if (this.dirty[sector] === 0) continue;
      if (this.lost[sector] === 1 || this.random.chance(lossChance)) {
        this.cache[sector] = this.stable[sector];
      } else {
        this.stable[sector] = this.cache[sector];
      }
      this.allocated[sector] = this.cache[sector] === 0 ? 0 : 1;
    }
    this.dirty.fill(0);
    this.lost.fill(0);
    this.scratch = null;
    this.powerLost = true;
  }

  /** Room for a larger volume: files are sparse, so nothing is written. */
  grow(sizeBytes: number): void {
    const sectors = sizeBytes / sectorBytes;
    if (sectors <= this.cache.length) return;
    const grow32 = (old: Uint32Array) => {
      const grown = new Uint32Array(sectors);
      grown.set(old.subarray(0, sectors));
      return grown;
    };
    const grow8 = (old: Uint8Array, length: number) => {
      const grown = new Uint8Array(length);
      grown.set(old.subarray(0, length));
      return grown;
    };
    this.cache = grow32(this.cache);
    this.stable = grow32(this.stable);
    this.dirty = grow8(this.dirty, sectors);
    this.allocated = grow8(this.allocated, sectors);
    this.lost = grow8(this.lost, sectors);
  }
}

/** What the store needs of the process that has it open. */
export interface StoreEnvironment {
  readonly memory: Uint32Array;
  readonly random: Random;
  readonly mood: DiskMood;
  now(): number;
  after(delayMs: number, run: () => void): void;
  done(ticket: number, status: number): void;
  disk(volumeId: string, replicaId: string): ReplicaDisk | undefined;
  replaceDisk(volumeId: string, replicaId: string, disk: ReplicaDisk): void;
  /** The replica has durably declared its content whole. */
  admitted(): void;
  syncFailed(): void;
}

/** A replica's store as one process has it open. */
export class SimStore implements ReplicaStore {
  marks: Uint8Array;
  readonly scratch: Float64Array;
  readonly scratchIntact: boolean;
  readonly powerLost: boolean;
  meta: ReplicaMeta;

  constructor(
    private readonly disk: ReplicaDisk,
    private readonly env: StoreEnvironment,
  ) {
    this.meta = disk.meta;
    this.marks = resized(disk.marks, bitmapBytes(disk.meta.sizeBytes, chunkBytes));
    this.powerLost = disk.powerLost;
    this.scratchIntact = disk.scratch !== null;
    disk.scratch ??= new Float64Array(scratchLength);
    this.scratch = disk.scratch;
  }

  write(address: number, offset: number, length: number): number {
    const first = offset / sectorBytes;
    const count = length / sectorBytes;
    if (first + count > this.disk.cache.length) return Status.invalid;
    const fails = this.env.random.chance(this.env.mood.ioErrorChance);
    // A failing write may have changed some of its sectors.
    const good = fails ? this.env.random.int(count + 1) : count;
    for (let i = 0; i < good; i++) {
      if (this.env.mood.full && !this.disk.hasSpaceFor(first + i)) return Status.noSpace;
      this.disk.put(first + i, this.env.memory[address + i]);
    }
    return fails ? Status.ioError : Status.ok;
  }

  read(address: number, offset: number, length: number): number {
    if (this.env.random.chance(this.env.mood.ioErrorChance)) return Status.ioError;
    const first = offset / sectorBytes;
    const count = length / sectorBytes;
    if (first + count > this.disk.cache.length) return Status.invalid;
    for (let i = 0; i < count; i++) {
      this.env.memory[address + i] = this.disk.cache[first + i];
    }
    return Status.ok;
  }

  zero(offset: number, length: number): number {
    const first = offset / sectorBytes;
    const count = length / sectorBytes;
    if (first + count > this.disk.cache.length) return Status.invalid;
    const fails = this.env.random.chance(this.env.mood.ioErrorChance);
    const good = fails ? this.env.random.int(count + 1) : count;
    for (let i = 0; i < good; i++) this.disk.put(first + i, 0);
    return fails ? Status.ioError : Status.ok;
  }

  /** A digest is the block's content itself: equal digests are equal contents. */
  hash(offset: number, length: number): Uint8Array | number {
    if (this.env.random.chance(this.env.mood.ioErrorChance)) return Status.ioError;
    const first = offset / sectorBytes;
    const count = length / sectorBytes;
    if (first + count > this.disk.cache.length) return Status.invalid;
    const blocks = Math.ceil(count / sectorsPerHashBlock);
    const words = new Uint32Array((blocks * digestBytes) / 4);
    for (let i = 0; i < count; i++) {
      const block = Math.floor(i / sectorsPerHashBlock);
      words[(block * digestBytes) / 4 + (i % sectorsPerHashBlock)] = this.disk.cache[first + i];
    }
    return new Uint8Array(words.buffer);
  }

  sync(ticket: number): void {
    if (this.env.random.chance(this.env.mood.syncErrorChance)) {
      this.finish(ticket, { apply: () => this.disk.failSync(), isFailure: true }, Status.ioError);
      return;
    }
    this.finish(ticket, this.disk.beginSync(), Status.ok);
  }

  saveMarks(ticket: number): void {
    this.saveOrFail(ticket, this.disk.beginSaveMarks(this.marks));
  }

  saveMeta(meta: ReplicaMeta, ticket: number): void {
    this.disk.grow(meta.sizeBytes);
    const marksBytes = bitmapBytes(meta.sizeBytes, chunkBytes);
    if (this.marks.length < marksBytes) this.marks = resized(this.marks, marksBytes);
    const work = this.disk.beginSaveMeta(meta);
    this.saveOrFail(ticket, {
      apply: () => {
        work.apply();
        this.meta = this.disk.meta;
        if (!meta.lossy && !meta.blank) this.env.admitted();
      },
    });
  }

  copyTo(targetVolumeId: string, targetReplicaId: string, ticket: number): void {
    const before = this.disk.cache.slice();
    this.saveOrFail(ticket, {
      apply: () => {
        // A replica spans files, which are cloned one after the other.
        const content = before.map((value, sector) =>
          this.env.random.chance(0.5) ? value : this.disk.cache[sector],
        );
        const meta = {
          ...this.meta,
          volumeId: targetVolumeId,
          replicaId: targetReplicaId,
          epoch: 0,
          token: '',
          blank: false,
          lossy: false,
        };
        this.env.replaceDisk(
          targetVolumeId,
          targetReplicaId,
          new ReplicaDisk(this.env.random, meta, content),
        );
      },
    });
  }

  copyFrom(sourceVolumeId: string, ticket: number): void {
    const source = this.env.disk(sourceVolumeId, this.meta.replicaId);
    if (source === undefined) {
      this.finish(ticket, { apply: () => undefined }, Status.ioError);
      return;
    }
    const content = source.cache.slice();
    this.saveOrFail(ticket, {
      apply: () => {
        content.forEach((value, sector) => this.disk.put(sector, value));
        this.disk.beginSync().apply();
      },
    });
  }

  private saveOrFail(ticket: number, work: PendingWork): void {
    const fails = this.env.random.chance(this.env.mood.syncErrorChance);
    // A failed save may have had its effect all the same.
    const effect = fails && this.env.random.chance(0.5) ? { apply: () => undefined } : work;
    this.finish(ticket, effect, fails ? Status.ioError : Status.ok);
  }

  private finish(ticket: number, work: PendingWork, status: number): void {
    const { mood, random } = this.env;
    const delay = random.between(mood.syncMinMs, mood.syncMaxMs);
    const now = this.env.now();
    const begin = Math.max(now, mood.stalledUntil, this.disk.lastDoneAt);
    this.disk.lastDoneAt = begin + delay;
    this.disk.pending.push(work);
    this.env.after(begin + delay - now, () => {
      const first = this.disk.pending.shift();
      assert(first === work, 'the disk finished its work out of order');
      work.apply();
      if (status !== Status.ok) this.env.syncFailed();
      this.env.done(ticket, status);
    });
  }
}
