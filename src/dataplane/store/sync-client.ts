import { assert } from '../../kernel/assert.js';
import type { DescriptorHandler, IoLoop } from '../io/ports.js';
import { drainEventFd, EpollEvent, signalEventFd } from '../sys/epoll.js';
import { fdatasync, fsync } from '../sys/files.js';
import type { SharedRing } from './shared-ring.js';
import {
  ClientMemory,
  jobCapacity,
  openLane,
  SyncOperation,
  textSlotBytes,
  textSlots,
  type SyncHandle,
} from './sync-shared.js';

/** Who is told when a job has ended; `kind` is what was given with the job. */
export interface JobOwner {
  /** `status`: 0 or the first positive errno; `message` says more, for text jobs only. */
  onJobDone(kind: number, status: number, message: string): void;
}

export type Lane = 'quick' | 'slow';

/** What the stores of an I/O thread need of the sync workers. */
export interface SyncJobs {
  /** Syncs `count` descriptors in parallel: those with `isDirectory` set by fsync, others fdatasync. */
  syncFiles(
    owner: JobOwner,
    kind: number,
    fds: Int32Array,
    isDirectory: Uint8Array,
    count: number,
  ): void;
  /** Runs a text job (see `text-jobs.ts`). */
  runText(owner: JobOwner, kind: number, lane: Lane, text: string): void;
  /** Answers with the status, but never from within this call. */
  answerSoon(owner: JobOwner, kind: number, status: number): void;
}

interface WaitingText {
  readonly owner: JobOwner;
  readonly kind: number;
  readonly lane: Lane;
  readonly text: string;
}

/** An I/O thread's end of the sync pool. It allocates nothing for a sync. */
export class SyncClient implements SyncJobs, DescriptorHandler {
  private readonly memory: ClientMemory;
  private readonly quick: SharedRing;
  private readonly slow: SharedRing;
  private readonly index: number;
  private readonly eventFd: number;
  private readonly loop: IoLoop;
  private readonly owners: (JobOwner | undefined)[] = new Array<undefined>(jobCapacity);
  private readonly kinds = new Int32Array(jobCapacity);
  private readonly textOfJob = new Int32Array(jobCapacity).fill(-1);
  private readonly freeJobs = new Int32Array(jobCapacity);
  private freeJobCount = jobCapacity;
  private readonly freeTexts: number[] = [];
  private readonly waiting: WaitingText[] = [];

  constructor(handle: SyncHandle, loop: IoLoop) {
    this.memory = new ClientMemory(handle.client.memory);
    this.quick = openLane(handle.lanes.quick);
    this.slow = openLane(handle.lanes.slow);
    this.index = handle.client.index;
    this.eventFd = handle.client.eventFd;
    this.loop = loop;
    for (let job = 0; job < jobCapacity; job++) this.freeJobs[job] = job;
    for (let slot = 0; slot < textSlots; slot++) this.freeTexts.push(slot);
    loop.watch(this.eventFd, EpollEvent.IN, this);
  }

  syncFiles(
    owner: JobOwner,
    kind: number,
    fds: Int32Array,
    isDirectory: Uint8Array,
    count: number,
  ): void {
    assert(count > 0, 'a sync of nothing');
    const job = this.beginJob(owner, kind, count);
    for (let at = 0; at < count; at++) {
      const fd = fds[at] ?? -1;
      const operation = isDirectory[at] === 1 ? SyncOperation.fsync : SyncOperation.fdatasync;
      if (this.quick.push(operation, fd, job, this.index)) continue;
      // The lane is full: this thread waits for the disk itself rather than lose a sync.
      const result = operation === SyncOperation.fsync ? fsync(fd) : fdatasync(fd);
      if (this.memory.finishItem(job, result < 0 ? -result : 0)) signalEventFd(this.eventFd);
    }
    this.quick.wake(count);
  }

  runText(owner: JobOwner, kind: number, lane: Lane, text: string): void {
    assert(Buffer.byteLength(text) <= textSlotBytes, 'the text of a job is too long');
    const slot = this.freeTexts.pop();
    if (slot === undefined) {
      this.waiting.push({ owner, kind, lane, text });
      return;
    }
    const job = this.beginJob(owner, kind, 1);
    this.textOfJob[job] = slot;
    this.memory.putText(slot, text);
    const ring = lane === 'quick' ? this.quick : this.slow;
    // Text jobs are bounded by the slots, so that only syncs can fill a lane.
    while (!ring.push(SyncOperation.text, slot, job, this.index)) ring.wake(1);
    ring.wake(1);
  }

  answerSoon(owner: JobOwner, kind: number, status: number): void {
    const job = this.beginJob(owner, kind, 1);
    this.memory.finishItem(job, status);
    signalEventFd(this.eventFd);
  }

  onEvents(): void {
    drainEventFd(this.eventFd);
    while (this.memory.finished.take()) this.endJob(this.memory.finished.item[0] ?? 0);
  }

  close(): void {
    this.loop.unwatch(this.eventFd);
  }

  private beginJob(owner: JobOwner, kind: number, count: number): number {
    assert(this.freeJobCount > 0, 'more sync jobs than replicas can have');
    const job = this.freeJobs[--this.freeJobCount] ?? 0;
    this.owners[job] = owner;
    this.kinds[job] = kind;
    this.textOfJob[job] = -1;
    Atomics.store(this.memory.status, job, 0);
    Atomics.store(this.memory.remaining, job, count);
    return job;
  }

  private endJob(job: number): void {
    const owner = this.owners[job];
    assert(owner !== undefined, 'a finished job has an owner');
    const kind = this.kinds[job] ?? 0;
    const status = Atomics.load(this.memory.status, job);
    const slot = this.textOfJob[job] ?? -1;
    let message = '';
    if (slot >= 0) {
      if (status !== 0) message = this.memory.text(slot);
      this.freeTexts.push(slot);
    }
    this.owners[job] = undefined;
    this.freeJobs[this.freeJobCount++] = job;
    owner.onJobDone(kind, status, message);
    if (slot < 0) return;
    const next = this.waiting.shift();
    if (next !== undefined) this.runText(next.owner, next.kind, next.lane, next.text);
  }
}
