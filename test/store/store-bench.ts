import { existsSync, mkdirSync } from 'node:fs';
import { join, resolve } from 'node:path';
import type { StoreEvents } from '../../src/dataplane/store/contracts.js';
import { writeIdentity } from '../../src/dataplane/store/directory-identity.js';
import {
  openReplica,
  type FileReplicaStore,
} from '../../src/dataplane/store/file-replica-store.js';
import { createReplica } from '../../src/dataplane/store/replica-catalog.js';
import { openStorePool, type StorePool } from '../../src/dataplane/store/store-pool.js';
import { SyncClient } from '../../src/dataplane/store/sync-client.js';
import { SyncPool } from '../../src/dataplane/store/sync-pool.js';
import { allocateMemory } from '../../src/dataplane/sys/memory.js';
import { command, LoopDevices, mebibyte } from '../pool/loop-device.js';
import { TestLoop } from './test-loop.js';

const workerFile = resolve('dist/src/dataplane/store/sync-worker/main.js');

/** Real XFS on loop devices, real sync workers, and stores whose answers can be waited for. */
export class StoreBench implements StoreEvents {
  readonly loops = new LoopDevices();
  readonly runDir = join(this.loops.directory, 'run');
  readonly memory = allocateMemory(4 * mebibyte);
  readonly bytes = new Uint8Array(this.memory.buffer);
  readonly failures: string[] = [];
  readonly loop = new TestLoop();
  pool: StorePool;
  readonly directories: string[] = [];
  private readonly syncPool: SyncPool;
  private readonly client: SyncClient;
  private readonly answers = new Map<number, number>();
  private readonly stores = new Set<FileReplicaStore>();
  private ticket = 1;
  snapshotMethod: 'reflink' | 'copy' = 'reflink';
  segmentBytes = 64 * mebibyte;

  constructor(deviceSizes: readonly number[]) {
    if (!existsSync(workerFile)) throw new Error('the programs are not built: npm run build');
    for (const size of deviceSizes) this.addDevice(this.loops.create(size));
    this.pool = this.reopenPool();
    this.syncPool = SyncPool.start({
      workerFile,
      clients: 1,
      onWorkerLost: (error) => {
        throw error;
      },
    });
    this.client = new SyncClient(this.syncPool.handle(0), this.loop.asIoLoop());
  }

  addDevice(device: string): void {
    const id = `device-${this.directories.length}`;
    const directory = join(this.loops.directory, id);
    command('mkfs.xfs', '-q', '-m', 'reflink=1', device);
    mkdirSync(directory);
    command('mount', device, directory);
    const identity = { formatVersion: 1, clusterId: 'c', nodeId: 'n', poolId: 'p' } as const;
    writeIdentity(directory, { ...identity, deviceId: id, class: 'medium' });
    this.directories.push(directory);
  }

  reopenPool(): StorePool {
    const { directories, segmentBytes, snapshotMethod } = this;
    this.pool = openStorePool({ id: 'p', directories, segmentBytes, snapshotMethod });
    return this.pool;
  }

  create(volumeId: string, sizeBytes: number): FileReplicaStore {
    const ids = { clusterId: 'c', volumeId, replicaId: `${volumeId}-r` };
    const rest = { epoch: 0, token: '', blank: false, lossy: false, sizeBytes };
    createReplica(this.pool, { ...ids, ...rest }, 'boot-1');
    return this.open(volumeId);
  }

  open(volumeId: string, bootId = 'boot-1'): FileReplicaStore {
    const ids = { clusterId: 'c', volumeId, replicaId: `${volumeId}-r` };
    const options = { runDir: this.runDir, bootId, scratchLength: 64, events: this };
    const store = openReplica(this.pool, ids, this.client, options);
    this.stores.add(store);
    return store;
  }

  /** Asks with a ticket and turns the loop until the answer is there. */
  ask(request: (ticket: number) => void): number {
    const ticket = this.ticket++;
    request(ticket);
    // A store never answers from within the call.
    expect(this.answers.has(ticket)).toBe(false);
    return this.answerTo(ticket);
  }

  answerTo(ticket: number): number {
    this.loop.until(() => this.answers.has(ticket));
    const status = this.answers.get(ticket) ?? -1;
    this.answers.delete(ticket);
    return status;
  }

  close(store: FileReplicaStore): void {
    let closed = false;
    store.close(() => (closed = true));
    this.loop.until(() => closed);
    this.stores.delete(store);
  }

  onStoreDone(ticket: number, status: number): void {
    if (this.answers.has(ticket)) throw new Error(`ticket ${ticket} was answered twice`);
    this.answers.set(ticket, status);
  }

  onStoreFailed(reason: string): void {
    this.failures.push(reason);
  }

  write(store: FileReplicaStore, offset: number, data: Uint8Array): number {
    this.bytes.set(data);
    return store.write(this.memory.address, offset, data.length);
  }

  read(store: FileReplicaStore, offset: number, length: number): Buffer {
    this.bytes.fill(0xee, 0, length);
    expect(store.read(this.memory.address, offset, length)).toBe(0);
    return Buffer.from(this.bytes.slice(0, length));
  }

  /** Also stores that a failed test left open, or their devices could not be unmounted. */
  async stop(): Promise<void> {
    for (const store of this.stores) this.close(store);
    this.client.close();
    await this.syncPool.stop();
    this.loop.close();
  }

  async remove(): Promise<void> {
    await this.stop();
    this.loops.remove();
  }
}

/** Reproducible bytes. */
export class Random {
  constructor(private state: number) {}

  /** Mulberry32. */
  next(): number {
    this.state = (this.state + 0x6d2b79f5) | 0;
    let t = Math.imul(this.state ^ (this.state >>> 15), 1 | this.state);
    t = (t + Math.imul(t ^ (t >>> 7), 61 | t)) ^ t;
    return ((t ^ (t >>> 14)) >>> 0) / 4294967296;
  }

  below(limit: number): number {
    return Math.floor(this.next() * limit);
  }

  bytes(length: number): Buffer {
    const value = this.below(255) + 1;
    const data = Buffer.alloc(length, value);
    for (let at = 0; at + 4 <= length; at += 512) data.writeUInt32LE(this.below(2 ** 32), at);
    return data;
  }
}
