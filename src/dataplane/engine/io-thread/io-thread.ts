import type { MessagePort } from 'node:worker_threads';
import { PxError, toPxError } from '../../../kernel/errors.js';
import type { LogFields } from '../../../platform/logger.js';
import type { UnansweredRequests } from '../../frontend/fuse/unanswered.js';
import { EpollIoLoop } from '../../io/io-loop.js';
import type { Frontend } from '../../io/ports.js';
import type { NativeSlotTable } from '../../io/slot-table.js';
import type { Hello } from '../../protocol/messages.js';
import type { CoordinatorEvents, ReplicaPort } from '../../protocol/ports.js';
import { SyncClient } from '../../store/sync-client.js';
import { connectTcp, type SocketAddress } from '../../sys/sockets.js';
import { DataListener } from '../data-listener.js';
import { LocalLink } from '../local-link.js';
import { Outbox } from '../outbox.js';
import { RemoteLink } from '../remote-link.js';
import { ReplicaRegistry } from '../replica-registry.js';
import { ReplicaSession } from '../replica-session.js';
import { SlotPool } from '../slot-pool.js';
import { SlotViews } from '../slot-views.js';
import { connectThroughRelay } from '../tls-relay/relay-link.js';
import { WriteChecksums } from '../write-checksums.js';
import type { IoThreadContext } from './context.js';
import { CoordinatorTimers } from './coordinator-timers.js';
import { IdleWatch } from './idle-watch.js';
import type { FromThread, IoThreadData, ToThread } from './messages.js';
import { openSlots, remoteSlots } from './slot-memory.js';
import { ReplicaTable } from './replica-table.js';
import { MachineClock } from './thread-clock.js';
import { ThreadCalls } from './thread-calls.js';

/** One I/O thread: its loop, and everything that lives on it. */
export class IoThread implements IoThreadContext {
  readonly clusterId: string;
  readonly nodeId: string;
  readonly slots: NativeSlotTable;
  readonly unanswered: UnansweredRequests | undefined;
  readonly loop: EpollIoLoop;
  readonly outbox: Outbox;
  readonly clock = new MachineClock();
  readonly timers = new CoordinatorTimers(this.clock);
  readonly owners: (Frontend | undefined)[] = [];
  private readonly views: SlotViews;
  private readonly checksums: WriteChecksums;
  readonly registry = new ReplicaRegistry();
  private readonly pool: SlotPool;
  private readonly replicas: ReplicaTable;
  private readonly calls: ThreadCalls;
  private readonly idleWatch: IdleWatch;
  private readonly idleSessions: ReplicaSession[] = [];
  private adopted = false;
  private readonly relayPath: string | undefined;
  private listener: DataListener | undefined;
  private addresses: ReadonlyMap<string, SocketAddress> = new Map();

  constructor(
    data: IoThreadData,
    private readonly port: MessagePort,
  ) {
    this.relayPath = data.relayPath;
    this.clusterId = data.clusterId;
    this.nodeId = data.nodeId;
    const { slots, unanswered } = openSlots(data.slotMemoryFd);
    this.slots = slots;
    this.unanswered = unanswered;
    this.loop = new EpollIoLoop(slots);
    this.outbox = new Outbox(this.loop);
    this.views = new SlotViews(slots);
    this.checksums = new WriteChecksums(slots, this.views);
    this.idleWatch = new IdleWatch(this.loop);
    this.pool = new SlotPool(this.slots, remoteSlots, this.outbox);
    this.replicas = new ReplicaTable(
      {
        registry: this.registry,
        slots: this.slots,
        clock: this.clock,
        jobs: new SyncClient(data.sync, this.loop),
        clusterId: data.clusterId,
        runDir: data.runDir,
        bootId: data.bootId,
        leaseMs: data.config.timing.leaseMs,
        log: (level, message, fields) => this.log(level, message, fields),
      },
      data.config.pools,
    );
    this.calls = new ThreadCalls(this, this.replicas, data.config.timing);
    this.loop.addTimer(this.timers);
    if (data.listenerFd !== undefined) this.listen(data.listenerFd);
  }

  /** Returns when the main thread has sent `stop`. */
  run(): void {
    this.loop.onMessage(this.port, (message) => this.onMessage(message as ToThread));
    this.post({ type: 'ready', wakeFd: this.loop.wakeFd });
    this.loop.run();
  }

  post(message: FromThread): void {
    this.port.postMessage(message);
  }

  log(level: 'info' | 'warn' | 'error', message: string, fields: LogFields): void {
    this.post({ type: 'log', level, message, fields });
  }

  onFrontendStarted(): void {
    // A frontend takes what is left of its mount only when it starts.
    if (this.adopted && this.calls.allStarted) this.unanswered?.dropRest();
  }

  whenIdle(frontend: Frontend, callback: () => void): void {
    this.idleWatch.add(frontend, callback);
  }

  createLink(events: CoordinatorEvents, link: number, nodeId: string): ReplicaPort {
    const { loop, outbox, views, checksums, clusterId } = this;
    if (nodeId === this.nodeId) {
      return new LocalLink(this.registry, this.replicas, outbox, events, link);
    }
    const addressOf = (id: string): SocketAddress | undefined => this.addresses.get(id);
    const { relayPath } = this;
    const connect = (address: SocketAddress): number =>
      relayPath === undefined
        ? connectTcp(address)
        : connectThroughRelay(relayPath, nodeId, address);
    return new RemoteLink(
      { loop, outbox, views, checksums, clusterId, addressOf, connect },
      events,
      link,
      nodeId,
    );
  }

  private onMessage(message: ToThread): void {
    switch (message.type) {
      case 'configure':
        this.replicas.configure(message.config.pools);
        this.calls.timing = message.config.timing;
        return;
      case 'nodes':
        this.addresses = message.addresses;
        return;
      case 'connection':
        this.adopt(message.fd, message.hello);
        return;
      case 'record':
        this.calls.volume(message.record.id)?.onRecordHint(message.record);
        return;
      case 'outcome': {
        const volume = this.calls.volume(message.volumeId);
        // The answer to a coordinator of this volume that is gone is nobody's.
        if (volume?.token === message.token) volume.onOutcome(message.outcome);
        return;
      }
      case 'call':
        this.call(message);
        return;
      case 'adopted':
        this.adopted = true;
        this.onFrontendStarted();
        return;
      case 'stop':
        this.listener?.close();
        this.loop.stop();
        return;
    }
  }

  private call({ id, method, params }: Extract<ToThread, { type: 'call' }>): void {
    const fail = (thrown: unknown): void => {
      const { code, message, fields } = toPxError(thrown);
      this.post({ type: 'failure', id, error: { code, message, fields } });
    };
    const done = (result: unknown): void => {
      if (result instanceof PxError) fail(result);
      else this.post({ type: 'answer', id, result });
    };
    try {
      this.calls.call(method, params, done);
    } catch (thrown) {
      // A refused request is the asker's affair; anything else ends the thread.
      if (!(thrown instanceof PxError)) throw thrown;
      fail(thrown);
    }
  }

  private listen(fd: number): void {
    const { loop, outbox } = this;
    const handOver = (taken: number, hello: Hello): void => {
      this.post({ type: 'handover', fd: taken, hello });
    };
    this.listener = new DataListener({ loop, outbox, handOver }, fd);
  }

  private adopt(fd: number, hello: Hello): void {
    const session = this.idleSessions.pop() ?? this.newSession();
    session.open(fd, hello);
  }

  private newSession(): ReplicaSession {
    const { loop, outbox, registry, replicas, pool, views, clusterId, nodeId } = this;
    const recycle = (session: ReplicaSession): void => void this.idleSessions.push(session);
    const shared = { loop, outbox, registry, replicas, pool, views, clusterId, nodeId };
    return new ReplicaSession({ ...shared, recycle });
  }
}
