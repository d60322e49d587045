import { fstatSync, statSync } from 'node:fs';
import { join } from 'node:path';
import { PxError } from '../../kernel/errors.js';
import { closeFile, ftruncate, openFile, OpenFlag } from '../sys/files.js';
import { Errno, must } from '../sys/libc.js';
import { errnoOf, makeDirectoryDurably, writeDurably } from './durable-files.js';
import { namesIn, type StoredMeta } from './replica-meta.js';
import {
  memberFileName,
  replicaDirectory,
  replicasDirectoryName,
  segmentFileName,
  segmentIndexOf,
} from './replica-paths.js';
import { placementOrder, type StoreDirectory, type StorePool } from './store-pool.js';

/** What `descriptor` answers for a segment that does not exist: it reads as zeroes. */
export const noSegment = -1_000_000;

/** The segments of one generation: where they are, their descriptors, which are dirty. */
export class SegmentTable {
  readonly segmentBytes: number;
  /** Filled by `takeDirty`. */
  dirtyFds = new Int32Array(16);
  dirtyIsDirectory = new Uint8Array(16);
  private readonly pool: StorePool;
  private readonly stored: StoredMeta;
  private readonly home: StoreDirectory;
  private readonly members: Set<string>;
  /** Index of the directory in `pool.directories`, -1 where there is no segment. */
  private places: Int16Array;
  private fds: Int32Array;
  private dirty: Uint8Array;
  private dirtyList: Int32Array;
  private dirtyCount = 0;
  /** Descriptors of the generation's directories; -1 where there is none yet. */
  private readonly directoryFds: Int32Array;
  private readonly dirtyDirectories: Uint8Array;
  private readonly promised: Float64Array;

  constructor(
    pool: StorePool,
    home: StoreDirectory,
    stored: StoredMeta,
    members: readonly string[],
  ) {
    this.pool = pool;
    this.home = home;
    this.stored = stored;
    this.members = new Set(members);
    this.segmentBytes = stored.segmentBytes;
    const count = Math.ceil(stored.sizeBytes / stored.segmentBytes);
    this.places = new Int16Array(count).fill(-1);
    this.fds = new Int32Array(count).fill(-1);
    this.dirty = new Uint8Array(count);
    this.dirtyList = new Int32Array(count);
    this.directoryFds = new Int32Array(pool.directories.length).fill(-1);
    this.dirtyDirectories = new Uint8Array(pool.directories.length);
    this.promised = new Float64Array(pool.directories.length);
    for (let place = 0; place < pool.directories.length; place++) this.scan(place);
    this.measure();
  }

  grow(sizeBytes: number): void {
    const count = Math.ceil(sizeBytes / this.segmentBytes);
    if (count <= this.places.length) return;
    const places = new Int16Array(count).fill(-1);
    places.set(this.places);
    const fds = new Int32Array(count).fill(-1);
    fds.set(this.fds);
    const dirty = new Uint8Array(count);
    dirty.set(this.dirty);
    const dirtyList = new Int32Array(count);
    dirtyList.set(this.dirtyList);
    this.places = places;
    this.fds = fds;
    this.dirty = dirty;
    this.dirtyList = dirtyList;
  }

  /** An open descriptor, `noSegment`, or -errno. */
  descriptor(index: number): number {
    const fd = this.fds[index];
    if (fd >= 0) return fd;
    if (this.places[index] < 0) return noSegment;
    const opened = openFile(this.path(index), OpenFlag.RDWR);
    if (opened >= 0) this.fds[index] = opened;
    return opened;
  }

  /** The descriptor of a segment that is made now if need be, or -errno. */
  descriptorForWrite(index: number): number {
    const fd = this.descriptor(index);
    return fd === noSegment ? this.create(index) : fd;
  }

  markDirty(index: number): void {
    if (this.dirty[index] === 1) return;
    this.dirty[index] = 1;
    this.dirtyList[this.dirtyCount++] = index;
  }

  /**
   * Puts what must be synced into `dirtyFds` and forgets it: segments, and the
   * directories of new ones. Answers their number, or -errno.
   */
  takeDirty(): number {
    const needed = this.dirtyCount + this.directoryFds.length;
    if (this.dirtyFds.length < needed) {
      this.dirtyFds = new Int32Array(needed * 2);
      this.dirtyIsDirectory = new Uint8Array(needed * 2);
    }
    let count = 0;
    for (let at = 0; at < this.dirtyCount; at++) {
      const index = this.dirtyList[at];
      const fd = this.descriptor(index);
      if (fd < 0) return fd;
      this.dirty[index] = 0;
      this.dirtyFds[count] = fd;
      this.dirtyIsDirectory[count++] = 0;
    }
    this.dirtyCount = 0;
    for (let place = 0; place < this.directoryFds.length; place++) {
      if (this.dirtyDirectories[place] === 0) continue;
      this.dirtyDirectories[place] = 0;
      this.dirtyFds[count] = this.directoryFds[place];
      this.dirtyIsDirectory[count++] = 1;
    }
    return count;
  }

  /** Bytes of blocks that the segments hold; also brings the promises up to date. */
  measure(): number {
    const measured = new Float64Array(this.promised.length);
    let usedBytes = 0;
    for (let index = 0; index < this.places.length; index++) {
      const place = this.places[index];
      if (place < 0) continue;
      const fd = this.fds[index];
      const bytes = (fd >= 0 ? fstatSync(fd) : statSync(this.path(index))).blocks * 512;
      usedBytes += bytes;
      measured[place] += Math.max(0, this.segmentBytes - bytes);
    }
    this.promise(measured);
    return usedBytes;
  }

  /** Calls back with every segment's descriptor; the first negative one ends it. */
  each(visit: (fd: number) => void): void {
    for (let index = 0; index < this.places.length; index++) {
      const fd = this.descriptor(index);
      if (fd !== noSegment) visit(must(fd, `opening segment ${index}`));
    }
  }

  close(): void {
    for (const fd of [...this.fds, ...this.directoryFds]) if (fd >= 0) closeFile(fd);
    this.fds.fill(-1);
    this.directoryFds.fill(-1);
    this.promise(new Float64Array(this.promised.length));
  }

  private promise(bytes: Float64Array): void {
    for (let place = 0; place < bytes.length; place++) {
      this.pool.directories[place].promisedBytes += bytes[place] - this.promised[place];
      this.promised[place] = bytes[place];
    }
  }

  /** Finds the segments that a directory has. All count as dirty: who wrote them may be gone. */
  private scan(place: number): void {
    const directory = this.directory(place);
    const names = namesIn(directory);
    for (const name of names) {
      const index = segmentIndexOf(name);
      if (index === undefined || index >= this.places.length) continue;
      if (this.places[index] >= 0) {
        throw new PxError('io_error', `segment ${index} is in two directories: ${directory}`);
      }
      this.places[index] = place;
      const path = join(directory, name);
      // A crash between creating and extending it; nothing was written to it yet.
      if (statSync(path).size !== this.segmentBytes) this.extend(path);
      this.markDirty(index);
    }
    if (names.length > 0) this.openDirectory(place, directory);
  }

  private extend(path: string): void {
    const fd = must(openFile(path, OpenFlag.RDWR), `opening ${path}`);
    const result = ftruncate(fd, this.segmentBytes);
    closeFile(fd);
    must(result, `extending ${path}`);
  }

  private openDirectory(place: number, path: string): void {
    if (this.directoryFds[place] < 0) {
      const flags = OpenFlag.RDONLY | OpenFlag.DIRECTORY;
      this.directoryFds[place] = must(openFile(path, flags), `opening ${path}`);
    }
    this.dirtyDirectories[place] = 1;
  }

  /** A device that is full does not stop others from taking the segment. */
  private create(index: number): number {
    let last: number = -Errno.ENOSPC;
    this.measure();
    for (const directory of placementOrder(this.pool)) {
      last = this.createIn(index, this.pool.directories.indexOf(directory));
      if (last !== -Errno.ENOSPC) return last;
    }
    return last;
  }

  private createIn(index: number, place: number): number {
    const path = join(this.directory(place), segmentFileName(index));
    try {
      this.prepareDirectory(place);
    } catch (error) {
      return -errnoOf(error);
    }
    const fd = openFile(path, OpenFlag.RDWR | OpenFlag.CREAT | OpenFlag.EXCL);
    if (fd < 0) return fd;
    // At its full length from the start XFS preallocates nothing behind what is written.
    const extended = ftruncate(fd, this.segmentBytes);
    if (extended < 0) {
      closeFile(fd);
      return extended;
    }
    this.fds[index] = fd;
    this.places[index] = place;
    this.dirtyDirectories[place] = 1;
    this.measure();
    return fd;
  }

  /** Before its first segment a directory is durably named as a member: without it nothing opens. */
  private prepareDirectory(place: number): void {
    if (this.directoryFds[place] >= 0) return;
    const { path, id } = this.pool.directories[place];
    const { volumeId, replicaId, generation } = this.stored;
    if (!this.members.has(id)) {
      const home = replicaDirectory(this.home.path, volumeId, replicaId);
      writeDurably(join(home, memberFileName(id)), '');
      this.members.add(id);
    }
    const names = [replicasDirectoryName, volumeId, replicaId, String(generation)];
    this.openDirectory(place, makeDirectoryDurably(path, ...names));
  }

  private directory(place: number): string {
    const { volumeId, replicaId, generation } = this.stored;
    return join(
      replicaDirectory(this.pool.directories[place].path, volumeId, replicaId),
      String(generation),
    );
  }

  private path(index: number): string {
    return join(this.directory(this.places[index]), segmentFileName(index));
  }
}
