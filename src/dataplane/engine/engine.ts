import { PxError, toPxError } from '../../kernel/errors.js';
import type { Logger } from '../../platform/logger.js';
import type { NbdDevices } from '../frontend/nbd-device.js';
import type { FetchedVolume, HolderClient } from '../holder/holder-client.js';
import { type Kvdb, KvKeys } from '../kvdb/port.js';
import { RecordUpdater } from '../protocol/record-updater.js';
import { readBootId } from '../store/boot-id.js';
import { SyncPool } from '../store/sync-pool.js';
import type { EngineConfig, EngineMethods, EngineStatus, KvdbConfig, ReplicaInfo } from './api.js';
import { Attachments } from './attachments.js';
import { type FromThread, type IoThreadData, threadOfVolume } from './io-thread/messages.js';
import { kvPortOf } from './kv-adapter.js';
import { NbdList } from './nbd-list.js';
import { NodeDirectory } from './node-directory.js';
import { RecordHints } from './record-hints.js';
import { ReplicaFiles } from './replica-files.js';
import { slotMemoryBytes } from './io-thread/slot-memory.js';
import { ThreadHandle } from './thread-handle.js';
import { openDataListener, relayPathFor, relaySettings } from './tls-relay/engine-side.js';
import { RelayProcess } from './tls-relay/relay-process.js';

export interface EngineDeps {
  readonly config: EngineConfig;
  readonly log: Logger;
  readonly holder: HolderClient | undefined;
  /**
   * The kernel sends unanswered FUSE requests again to a new engine. Where it
   * does not, the slots lie in memory that the holder keeps.
   */
  readonly kernelResends: boolean;
  /** The built worker files. */
  readonly ioThreadFile: URL;
  readonly syncWorkerFile: URL;
  /** Run as a process when `config.tls` is there. */
  readonly tlsRelayFile: URL;
  readonly nbdDevices: NbdDevices;
  openKvdb(config: KvdbConfig): Kvdb;
  /** Nothing here can be trusted any more: the process ends, and the holder starts another. */
  onLost(error: Error): void;
}

type Methods = { [M in keyof EngineMethods]: (params: never) => Promise<unknown> };

/** The engine's main thread: the key-value store, the control socket, and the I/O threads. */
export class Engine {
  private config: EngineConfig;
  private kvdb: Kvdb;
  private readonly keys: KvKeys;
  private readonly startedAt = new Date().toISOString();
  private readonly threads: ThreadHandle[] = [];
  private readonly files: ReplicaFiles;
  private readonly attachments: Attachments;
  private readonly nodes: NodeDirectory;
  private readonly hints: RecordHints;
  private readonly updater: RecordUpdater;
  private readonly methods: Methods;
  private relay: RelayProcess | undefined;

  constructor(private readonly deps: EngineDeps) {
    const { config, log, holder } = deps;
    this.config = config;
    this.keys = new KvKeys(config.clusterId);
    this.kvdb = deps.openKvdb(config.kvdb);
    this.files = new ReplicaFiles(config);
    this.updater = new RecordUpdater({
      kv: kvPortOf(() => this.kvdb),
      timer: { after: (delayMs, callback) => void setTimeout(callback, delayMs) },
      keyOf: (volumeId) => this.keys.volume(volumeId),
    });
    this.attachments = new Attachments({
      nodeId: config.nodeId,
      runDir: config.runDir,
      keys: this.keys,
      updater: this.updater,
      holder,
      nbdList: new NbdList(config.runDir),
      nbdDevices: deps.nbdDevices,
      log,
      kvdb: () => this.kvdb,
      thread: (volumeId) => this.thread(volumeId),
    });
    this.nodes = new NodeDirectory(this.keys, log, (addresses) => {
      for (const thread of this.threads) thread.send({ type: 'nodes', addresses });
    });
    this.hints = new RecordHints(
      this.keys,
      () => this.attachments.volumeIds(),
      (record) => this.thread(record.id).send({ type: 'record', record }),
    );
    this.methods = this.makeMethods();
  }

  async start(): Promise<void> {
    const { config } = this;
    await this.files.recover();
    await this.startThreads();
    await Promise.all([...this.threads.map((thread) => thread.started()), this.startRelay()]);
    this.nodes.follow(this.kvdb);
    this.hints.follow(this.kvdb);
    const held = await this.fetchHeld();
    // Not waited for: it may take as long as the key-value store is away.
    void this.attachments.adopt(held, true).then(() => {
      for (const thread of this.threads) thread.send({ type: 'adopted' });
    });
    void this.attachments.readopt();
    this.deps.log.info('the engine serves', {
      nodeId: config.nodeId,
      address: `${config.dataAddress.host}:${config.dataAddress.port}`,
      held: held.length,
    });
  }

  /** The handler of `engine.sock`. */
  async handle(method: string, params: unknown): Promise<unknown> {
    const known = Object.hasOwn(this.methods, method);
    if (!known) throw new PxError('unimplemented', `the engine knows no method ${method}`);
    return this.methods[method as keyof EngineMethods](params as never);
  }

  private async startThreads(): Promise<void> {
    const { config, deps } = this;
    const count = Math.max(1, config.ioThreads);
    const sync = SyncPool.start({
      workerFile: deps.syncWorkerFile,
      clients: count,
      onWorkerLost: (error) => deps.onLost(error),
    });
    const bootId = readBootId();
    const listenerFd = openDataListener(config);
    const relayPath = relayPathFor(config);
    for (let index = 0; index < count; index++) {
      const { clusterId, nodeId, runDir, pools, timing } = config;
      const data: IoThreadData = {
        ...{ index, clusterId, nodeId, runDir, bootId },
        sync: sync.handle(index),
        config: { pools, timing },
        ...(index === 0 ? { listenerFd } : {}),
        ...(relayPath === undefined ? {} : { relayPath }),
        ...(await this.heldMemory(index)),
      };
      const events = {
        onMessage: (message: FromThread) => this.onThreadMessage(message),
        onLost: (error: Error) => deps.onLost(error),
      };
      this.threads.push(new ThreadHandle(deps.ioThreadFile, data, events));
    }
  }

  private async heldMemory(index: number): Promise<{ slotMemoryFd?: number }> {
    const { holder, kernelResends } = this.deps;
    if (holder === undefined || kernelResends) return {};
    return { slotMemoryFd: await holder.openMemory(`slots-${index}`, slotMemoryBytes) };
  }

  private async startRelay(): Promise<void> {
    const settings = relaySettings(this.config);
    if (settings === undefined) return;
    this.relay = new RelayProcess(this.deps.tlsRelayFile, settings, this.deps.log);
    this.relay.start();
    await this.relay.started();
  }

  private onThreadMessage(message: FromThread): void {
    switch (message.type) {
      case 'handover':
        this.thread(message.hello.volumeId).send({
          type: 'connection',
          fd: message.fd,
          hello: message.hello,
        });
        return;
      case 'change': {
        const { volumeId, token, change } = message;
        this.updater.request(volumeId, change, (outcome) => {
          this.deps.log.info('a record was changed', {
            ...{ volumeId, change: change.type, result: outcome.result },
          });
          this.thread(volumeId).send({ type: 'outcome', volumeId, token, outcome });
        });
        return;
      }
      case 'state':
        this.attachments.onState(message.status);
        return;
      case 'log':
        this.deps.log[message.level](message.message, message.fields);
        return;
      default:
        throw new PxError('internal', `an I/O thread said ${message.type}`);
    }
  }

  private thread(volumeId: string): ThreadHandle {
    return this.threads[threadOfVolume(volumeId, this.threads.length)];
  }

  private async fetchHeld(): Promise<FetchedVolume[]> {
    const { holder, log } = this.deps;
    if (holder === undefined) return [];
    for (;;) {
      try {
        return await holder.fetchAll();
      } catch (error) {
        // Without its answer nobody knows whose I/O waits, so nothing can begin.
        log.warn('the holder does not answer', { error: toPxError(error).message });
        await new Promise((resolve) => setTimeout(resolve, 500));
      }
    }
  }

  private async configure(config: EngineConfig): Promise<void> {
    const { clusterId, nodeId, runDir, pools, timing } = config;
    const same = clusterId === this.config.clusterId && nodeId === this.config.nodeId;
    if (!same || runDir !== this.config.runDir) {
      throw new PxError('failed_precondition', 'an engine keeps its cluster, node and directory');
    }
    const relay = relaySettings(config);
    if ((relay === undefined) !== (this.config.tls === undefined)) {
      // The threads' sockets are of another kind then; what is served goes on with the next engine.
      this.deps.onLost(new Error('TLS was switched on or off: the engine starts anew'));
      throw new PxError('unavailable', 'the engine starts anew, as TLS was switched on or off');
    }
    if (relay !== undefined) this.relay?.configure(relay);
    const otherStore = JSON.stringify(config.kvdb) !== JSON.stringify(this.config.kvdb);
    this.config = config;
    this.files.configure(pools);
    for (const thread of this.threads) {
      thread.send({ type: 'configure', config: { pools, timing } });
    }
    if (!otherStore) return;
    const before = this.kvdb;
    this.kvdb = this.deps.openKvdb(config.kvdb);
    this.nodes.follow(this.kvdb);
    this.hints.follow(this.kvdb);
    before.close();
  }

  private async status(): Promise<EngineStatus> {
    return {
      pid: process.pid,
      startedAt: this.startedAt,
      kvdb: this.kvdb.status().available ? 'ok' : 'unavailable',
      volumes: await this.attachments.statuses(),
      replicas: await this.replicas(),
    };
  }

  private async replicas(): Promise<readonly ReplicaInfo[]> {
    const states = await Promise.all(
      this.threads.map((thread) => thread.call('replica.states', {})),
    );
    return this.files.list(new Map(states.flat().map((state) => [state.volumeId, state])));
  }

  private makeMethods(): Methods {
    type P<M extends keyof EngineMethods> = EngineMethods[M]['params'];
    const { attachments, files } = this;
    return {
      'engine.status': () => this.status(),
      'engine.configure': (params: P<'engine.configure'>) => this.configure(params),
      'replica.ensure': async (params: P<'replica.ensure'>) => files.ensure(params),
      'replica.remove': async ({ volumeId, replicaId }: P<'replica.remove'>) => {
        await this.thread(volumeId).call('replica.close', { volumeId });
        await files.remove(volumeId, replicaId);
      },
      'replica.fence': (params: P<'replica.fence'>) =>
        this.thread(params.volumeId).call('replica.fence', params),
      'replica.list': () => this.replicas(),
      'volume.attach': (params: P<'volume.attach'>) => attachments.attach(params),
      'volume.detach': ({ volumeId, force }: P<'volume.detach'>) =>
        attachments.detach(volumeId, force),
      'volume.list': () => attachments.statuses(),
      'volume.status': ({ volumeId }: P<'volume.status'>) => attachments.status(volumeId),
      'volume.copy': (params: P<'volume.copy'>) =>
        this.thread(params.volumeId).call('volume.copy', params),
      'volume.restore': (params: P<'volume.restore'>) =>
        this.thread(params.volumeId).call('volume.restore', params),
      'volume.resize': async (params: P<'volume.resize'>) => {
        await this.thread(params.volumeId).call('volume.resize', params);
        await attachments.resizeDevice(params.volumeId, params.sizeBytes);
      },
      'volume.check': (params: P<'volume.check'>) =>
        this.thread(params.volumeId).call('volume.check', params),
    };
  }
}
