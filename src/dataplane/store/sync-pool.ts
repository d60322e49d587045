import { Worker } from 'node:worker_threads';
import { PxError } from '../../kernel/errors.js';
import { createEventFd } from '../sys/epoll.js';
import { closeFile } from '../sys/files.js';
import {
  ClientMemory,
  createLane,
  openLane,
  SyncOperation,
  type ClientHandle,
  type LanesHandle,
  type SyncHandle,
  type SyncWorkerData,
} from './sync-shared.js';

export interface SyncPoolOptions {
  /** The built `sync-worker/main.js`. */
  readonly workerFile: string | URL;
  /** The number of I/O threads. */
  readonly clients: number;
  /** How many flushes may wait for disks at a time; one more thread makes copies. */
  readonly quickThreads?: number;
  /** A worker ended by itself: syncs may hang from now on, so the process must end. */
  onWorkerLost(error: Error): void;
}

/**
 * The threads that wait for disks in place of the I/O threads.
 *
 * Threads, because fdatasync has no other form that an epoll loop could wait
 * for; our own rather than libuv's, because the I/O threads never run Node's
 * event loop, where libuv's answers arrive.
 */
export class SyncPool {
  private readonly lanes: LanesHandle;
  private readonly clients: readonly ClientHandle[];
  private readonly quickWorkers: readonly Worker[];
  private readonly slowWorkers: readonly Worker[];
  private stopping = false;

  static start(options: SyncPoolOptions): SyncPool {
    return new SyncPool(options);
  }

  private constructor(options: SyncPoolOptions) {
    this.lanes = { quick: createLane(), slow: createLane() };
    this.clients = Array.from({ length: options.clients }, (_, index) => ({
      index,
      memory: ClientMemory.create(),
      eventFd: createEventFd(),
    }));
    const quick = options.quickThreads ?? 4;
    this.quickWorkers = Array.from({ length: quick }, () =>
      this.startWorker(options, this.lanes.quick),
    );
    this.slowWorkers = [this.startWorker(options, this.lanes.slow)];
  }

  /** For the I/O thread of that index; structured-cloneable. */
  handle(client: number): SyncHandle {
    const found = this.clients[client];
    if (found === undefined) throw new PxError('internal', `no sync client ${client}`);
    return { lanes: this.lanes, client: found };
  }

  /** Ends when everything that was asked before is done. The I/O threads must be gone. */
  async stop(): Promise<void> {
    this.stopping = true;
    const workers = [...this.quickWorkers, ...this.slowWorkers];
    const gone = workers.map((worker) => new Promise((resolve) => worker.once('exit', resolve)));
    this.stopLane(this.lanes.quick, this.quickWorkers.length);
    this.stopLane(this.lanes.slow, this.slowWorkers.length);
    await Promise.all(gone);
    for (const client of this.clients) closeFile(client.eventFd);
  }

  private stopLane(memory: SharedArrayBuffer, count: number): void {
    const lane = openLane(memory);
    for (let worker = 0; worker < count; worker++) lane.push(SyncOperation.stop, 0, 0, 0);
    lane.wake(count);
  }

  private startWorker(options: SyncPoolOptions, lane: SharedArrayBuffer): Worker {
    const workerData: SyncWorkerData = { lane, clients: this.clients };
    const worker = new Worker(options.workerFile, { workerData });
    worker.on('error', (error) => options.onWorkerLost(error));
    worker.on('exit', (code) => {
      if (!this.stopping) options.onWorkerLost(new Error(`a sync worker ended with ${code}`));
    });
    return worker;
  }
}
