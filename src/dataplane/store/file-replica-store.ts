import { join } from 'node:path';
import { assert, assertSafeBytes } from '../../kernel/assert.js';
import { PxError } from '../../kernel/errors.js';
import { digestBytes, productionGeometry, Status } from '../protocol/ops.js';
import type { ReplicaMeta, ReplicaStore } from '../protocol/ports.js';
import { fdatasync, pread, punchHole, pwrite } from '../sys/files.js';
import { errnoName } from '../sys/libc.js';
import { fillMemory } from '../sys/memory.js';
import { dropCachedPages } from '../sys/reflink.js';
import type { OpenOptions, ReplicaIds, StoreEvents } from './contracts.js';
import { errnoOf } from './durable-files.js';
import { GroupCommit } from './group-commit.js';
import { MarksFile } from './marks-file.js';
import { RangeHasher } from './range-hasher.js';
import { checkIds } from './replica-catalog.js';
import {
  findReplica,
  protocolMeta,
  requireMembers,
  type FoundReplica,
  type StoredMeta,
} from './replica-meta.js';
import { isGeneration, replicaDirectory } from './replica-paths.js';
import { namesIn } from './replica-meta.js';
import { openScratch, type Scratch } from './scratch-file.js';
import { noSegment, SegmentTable } from './segment-table.js';
import type { StorePool } from './store-pool.js';
import type { JobOwner, SyncJobs } from './sync-client.js';
import type { TextJob } from './text-jobs.js';
import { moveToTrash } from './trash.js';

const Kind = { sync: 0, marks: 1, settled: 2, refused: 3 } as const;

/** Work that reads or writes meta.json: one at a time, in the order asked for. */
interface MetaWork {
  readonly ticket: number;
  readonly type: 'save_meta' | 'copy_to' | 'copy_from';
  readonly meta?: ReplicaMeta;
  readonly volumeId: string;
  readonly replicaId: string;
}

/** One hasher a thread: the I/O loop is synchronous, so nobody else is using it. */
let sharedHasher: RangeHasher | undefined;

/**
 * Opens a replica that is on disk. Throws PxError: `not_found`,
 * `failed_precondition` when it is another's, `unavailable` when a device of it
 * is missing.
 */
export function openReplica(
  pool: StorePool,
  ids: ReplicaIds,
  jobs: SyncJobs,
  options: OpenOptions,
): FileReplicaStore {
  const found = findReplica(pool, ids.volumeId, ids.replicaId);
  if (found === undefined) {
    throw new PxError('not_found', `there is no replica ${ids.replicaId} in pool ${pool.id}`);
  }
  checkIds(found.stored, ids);
  requireMembers(pool, found);
  removeOtherGenerations(pool, found.stored);
  return new FileReplicaStore(pool, found, jobs, options);
}

/** What a copy that never came to its end, or the one before a finished copy, left. */
function removeOtherGenerations(pool: StorePool, stored: StoredMeta): void {
  for (const { path } of pool.directories) {
    const directory = replicaDirectory(path, stored.volumeId, stored.replicaId);
    for (const name of namesIn(directory)) {
      if (isGeneration(name) && Number(name) !== stored.generation) {
        moveToTrash(path, join(directory, name));
      }
    }
  }
}

/**
 * A replica in sparse files, written through the page cache (why: ADR 0002).
 *
 * Every data call answers at once. What waits for a disk is done by the sync
 * workers and answered through `events`. After a failed fsync the kernel has
 * marked the lost pages clean, so that no later fsync would report them: the
 * store then refuses everything until it is opened again, and says `powerLost`
 * then, as what was written may be gone just as after a power cut.
 */
export class FileReplicaStore implements ReplicaStore, JobOwner {
  readonly powerLost: boolean;
  readonly scratchIntact: boolean;
  private readonly pool: StorePool;
  private readonly found: FoundReplica;
  private readonly directory: string;
  private readonly jobs: SyncJobs;
  private readonly events: StoreEvents;
  private readonly bootId: string;
  private readonly scratchFile: Scratch;
  private readonly marksFile: MarksFile;
  private readonly hasher: RangeHasher;
  private stored: StoredMeta;
  private segments: SegmentTable;
  /** Segments of the generation before a copy_from, while a sync still uses their descriptors. */
  private retired: SegmentTable | undefined;
  private readonly syncs = new GroupCommit();
  private readonly markSaves = new GroupCommit();
  private readonly metaWork: MetaWork[] = [];
  private metaBusy = false;
  private readonly refused: number[] = [];
  private failureReason = '';
  private onClosed: (() => void) | undefined;

  /** Use `openReplica`. */
  constructor(pool: StorePool, found: FoundReplica, jobs: SyncJobs, options: OpenOptions) {
    const { stored, home, members } = found;
    this.pool = pool;
    this.found = found;
    this.jobs = jobs;
    this.events = options.events;
    this.bootId = options.bootId;
    this.stored = stored;
    this.directory = replicaDirectory(home.path, stored.volumeId, stored.replicaId);
    this.segments = new SegmentTable(pool, home, stored, members);
    this.marksFile = new MarksFile(this.directory, stored.sizeBytes);
    // A save may have been cut short between its write and its sync: what is read must be durable.
    this.marksFile.sync();
    const { runDir, scratchLength, bootId } = options;
    this.scratchFile = openScratch(runDir, stored.replicaId, scratchLength, bootId);
    this.scratchIntact = this.scratchFile.intact;
    const failedBefore = this.scratchFile.failure[0] === 1;
    this.powerLost = failedBefore || stored.bootId !== bootId;
    if (failedBefore) this.forgetCache();
    this.hasher = sharedHasher ??= new RangeHasher();
  }

  get meta(): ReplicaMeta {
    return protocolMeta(this.stored);
  }

  get marks(): Uint8Array {
    return this.marksFile.marks;
  }

  get scratch(): Float64Array {
    return this.scratchFile.numbers;
  }

  /** '' while the store works. */
  get failed(): string {
    return this.failureReason;
  }

  /** Bytes of the blocks it holds (st_blocks); blocks shared with a snapshot count in both. */
  usedBytes(): number {
    return this.segments.measure();
  }

  write(address: number, offset: number, length: number): number {
    if (this.failureReason !== '') return Status.ioError;
    const { segmentBytes } = this.segments;
    for (let done = 0; done < length;) {
      const index = Math.floor((offset + done) / segmentBytes);
      const within = offset + done - index * segmentBytes;
      const fd = this.segments.descriptorForWrite(index);
      if (fd < 0) return -fd;
      this.segments.markDirty(index);
      const part = Math.min(length - done, segmentBytes - within);
      const result = pwrite(fd, address + done, part, within);
      if (result < 0) return -result;
      // A full device takes a part first and reports ENOSPC for the rest.
      done += result;
    }
    return Status.ok;
  }

  read(address: number, offset: number, length: number): number {
    if (this.failureReason !== '') return Status.ioError;
    const { segmentBytes } = this.segments;
    for (let done = 0; done < length;) {
      const index = Math.floor((offset + done) / segmentBytes);
      const within = offset + done - index * segmentBytes;
      const part = Math.min(length - done, segmentBytes - within);
      const fd = this.segments.descriptor(index);
      if (fd === noSegment) {
        fillMemory(address + done, 0, part);
        done += part;
        continue;
      }
      if (fd < 0) return -fd;
      const result = pread(fd, address + done, part, within);
      // Segments have their full length: an end here means that somebody cut the file.
      if (result <= 0) return result === 0 ? Status.ioError : -result;
      done += result;
    }
    return Status.ok;
  }

  zero(offset: number, length: number): number {
    if (this.failureReason !== '') return Status.ioError;
    const { segmentBytes } = this.segments;
    for (let done = 0; done < length;) {
      const index = Math.floor((offset + done) / segmentBytes);
      const within = offset + done - index * segmentBytes;
      const part = Math.min(length - done, segmentBytes - within);
      const fd = this.segments.descriptor(index);
      if (fd !== noSegment) {
        if (fd < 0) return -fd;
        this.segments.markDirty(index);
        const result = punchHole(fd, within, part);
        if (result < 0) return -result;
      }
      done += part;
    }
    return Status.ok;
  }

  hash(offset: number, length: number): Uint8Array | number {
    const { hashBlockBytes } = productionGeometry;
    assert(offset % hashBlockBytes === 0, 'a hash starts at a block');
    if (this.failureReason !== '') return Status.ioError;
    const { segmentBytes } = this.segments;
    const digests = new Uint8Array(Math.ceil(length / hashBlockBytes) * digestBytes);
    for (let done = 0; done < length;) {
      const index = Math.floor((offset + done) / segmentBytes);
      const within = offset + done - index * segmentBytes;
      const part = Math.min(length - done, segmentBytes - within);
      const fd = this.segments.descriptor(index);
      if (fd !== noSegment) {
        if (fd < 0) return -fd;
        const at = (done / hashBlockBytes) * digestBytes;
        const status = this.hasher.hash(fd, within, part, digests, at);
        if (status !== 0) return status;
      }
      done += part;
    }
    return digests;
  }

  sync(ticket: number): void {
    if (this.failureReason !== '') this.refuse(ticket);
    else if (this.syncs.add(ticket)) this.startSync();
  }

  saveMarks(ticket: number): void {
    if (this.failureReason !== '') this.refuse(ticket);
    else if (this.markSaves.add(ticket)) this.startMarks();
  }

  /** Also tried when the store has failed: the meta is how the failure is remembered. */
  saveMeta(meta: ReplicaMeta, ticket: number): void {
    assertSafeBytes(meta.sizeBytes, 'the size of a replica');
    try {
      this.marksFile.grow(meta.sizeBytes);
    } catch (error) {
      this.fail(`extending the marks: ${String(error)}`);
    }
    this.segments.grow(meta.sizeBytes);
    this.queueMetaWork({ type: 'save_meta', ticket, meta, volumeId: '', replicaId: '' });
  }

  copyTo(targetVolumeId: string, targetReplicaId: string, ticket: number): void {
    if (this.failureReason !== '') return this.refuse(ticket);
    const target = { volumeId: targetVolumeId, replicaId: targetReplicaId };
    this.queueMetaWork({ type: 'copy_to', ticket, ...target });
  }

  copyFrom(sourceVolumeId: string, ticket: number): void {
    if (this.failureReason !== '') return this.refuse(ticket);
    this.queueMetaWork({ type: 'copy_from', ticket, volumeId: sourceVolumeId, replicaId: '' });
  }

  /** Call nothing afterwards. `onClosed` is called once nothing is under way, maybe at once. */
  close(onClosed: () => void): void {
    this.onClosed = onClosed;
    this.closeIfIdle();
  }

  onJobDone(kind: number, status: number, message: string): void {
    if (kind === Kind.sync) this.syncDone(status);
    else if (kind === Kind.marks) this.marksDone(status);
    else if (kind === Kind.settled) this.metaWorkDone(status, message);
    else {
      const ticket = this.refused.shift();
      assert(ticket !== undefined, 'a refusal has a ticket');
      this.events.onStoreDone(ticket, status);
    }
    this.closeIfIdle();
  }

  private startSync(): void {
    const count = this.segments.takeDirty();
    if (count <= 0) {
      this.jobs.answerSoon(this, Kind.sync, -count);
      return;
    }
    const { dirtyFds, dirtyIsDirectory } = this.segments;
    this.jobs.syncFiles(this, Kind.sync, dirtyFds, dirtyIsDirectory, count);
  }

  private syncDone(status: number): void {
    this.closeRetired();
    if (status !== 0) this.fail(`fdatasync of the segments: ${errnoName(status)}`);
    const finished = this.syncs.finish();
    // Before the answers: they may ask for another sync.
    if (this.syncs.busy) {
      if (this.failureReason === '') this.startSync();
      else this.jobs.answerSoon(this, Kind.sync, Status.ioError);
    }
    // Whatever the device said (a thin one says ENOSPC): what was written is lost.
    this.answer(this.syncs, finished, status === 0 ? Status.ok : Status.ioError);
  }

  private startMarks(): void {
    try {
      if (!this.marksFile.write()) return this.jobs.answerSoon(this, Kind.marks, 0);
    } catch (error) {
      return this.jobs.answerSoon(this, Kind.marks, errnoOf(error));
    }
    marksFds[0] = this.marksFile.fd;
    this.jobs.syncFiles(this, Kind.marks, marksFds, noDirectory, 1);
  }

  private marksDone(status: number): void {
    if (status !== 0) this.fail(`saving the marks: ${errnoName(status)}`);
    const finished = this.markSaves.finish();
    if (this.markSaves.busy) {
      if (this.failureReason === '') this.startMarks();
      else this.jobs.answerSoon(this, Kind.marks, Status.ioError);
    }
    this.answer(this.markSaves, finished, status === 0 ? Status.ok : Status.ioError);
  }

  private answer(group: GroupCommit, finished: number[], status: number): void {
    for (const ticket of finished) this.events.onStoreDone(ticket, status);
    group.recycle(finished);
  }

  private queueMetaWork(work: MetaWork): void {
    this.metaWork.push(work);
    if (!this.metaBusy) this.startMetaWork();
  }

  private startMetaWork(): void {
    const work = this.metaWork[0];
    if (work === undefined) return;
    this.metaBusy = true;
    const lane = work.type === 'save_meta' ? 'quick' : 'slow';
    this.jobs.runText(this, Kind.settled, lane, JSON.stringify(this.textJob(work)));
  }

  private textJob(work: MetaWork): TextJob {
    if (work.meta !== undefined) {
      const stored: StoredMeta = { ...this.stored, ...work.meta, bootId: this.bootId };
      const grown = stored.sizeBytes > this.stored.sizeBytes;
      return {
        type: 'save_meta',
        directory: this.directory,
        stored,
        marksFd: grown ? this.marksFile.fd : -1,
      };
    }
    const common = {
      directories: this.pool.directories.map(({ path, id }) => ({ path, id })),
      method: this.pool.snapshotMethod,
      homePath: this.found.home.path,
    };
    if (work.type === 'copy_from') {
      return {
        type: 'copy_from',
        ...common,
        own: this.stored,
        sourceVolumeId: work.volumeId,
      };
    }
    return {
      type: 'copy_to',
      ...common,
      source: this.stored,
      bootId: this.bootId,
      targetVolumeId: work.volumeId,
      targetReplicaId: work.replicaId,
    };
  }

  private metaWorkDone(status: number, message: string): void {
    const work = this.metaWork.shift();
    assert(work !== undefined, 'finished work was asked for');
    this.metaBusy = false;
    let answer = status;
    if (work.meta !== undefined) {
      if (status === 0) this.metaSaved(work.meta);
      else this.fail(`saving the meta: ${message}`);
    } else if (work.type === 'copy_from' && status === 0) {
      answer = this.takeNewGeneration();
    }
    this.startMetaWork();
    this.events.onStoreDone(work.ticket, answer);
  }

  private metaSaved(meta: ReplicaMeta): void {
    this.stored = { ...this.stored, ...meta, bootId: this.bootId };
    // The meta tells of an earlier failure now. Of one since then the next opening must be told.
    if (this.failureReason === '') this.scratchFile.failure[0] = 0;
  }

  /** meta.json names another generation now: its segments take the place of the old ones. */
  private takeNewGeneration(): number {
    try {
      const { volumeId, replicaId } = this.stored;
      const found = findReplica(this.pool, volumeId, replicaId);
      assert(found !== undefined, 'the replica is still there');
      const fresh = new SegmentTable(this.pool, found.home, found.stored, found.members);
      this.closeRetired();
      this.retired = this.segments;
      this.segments = fresh;
      this.stored = found.stored;
      if (!this.syncs.busy) this.closeRetired();
      return 0;
    } catch (error) {
      this.fail(`opening the copied content: ${String(error)}`);
      return errnoOf(error);
    }
  }

  private closeRetired(): void {
    this.retired?.close();
    this.retired = undefined;
  }

  private refuse(ticket: number): void {
    this.refused.push(ticket);
    this.jobs.answerSoon(this, Kind.refused, Status.ioError);
  }

  private fail(reason: string): void {
    if (this.failureReason !== '') return;
    this.failureReason = reason;
    this.scratchFile.failure[0] = 1;
    this.events.onStoreFailed(reason);
  }

  /** After a failed fsync the page cache may hold what the disk does not. */
  private forgetCache(): void {
    this.segments.each((fd) => {
      fdatasync(fd);
      dropCachedPages(fd);
    });
  }

  private closeIfIdle(): void {
    const { onClosed } = this;
    if (onClosed === undefined) return;
    if (this.syncs.busy || this.markSaves.busy || this.metaBusy) return;
    if (this.refused.length > 0) return;
    this.onClosed = undefined;
    this.closeRetired();
    this.segments.close();
    this.marksFile.close();
    // The scratch stays mapped: touching it after an unmap would end the process.
    onClosed();
  }
}

const marksFds = new Int32Array(1);
const noDirectory = new Uint8Array(1);
