import { randomUUID } from 'node:crypto';
import { closeSync, mkdirSync, openSync, writeSync } from 'node:fs';
import { hostname } from 'node:os';
import { join } from 'node:path';
import type { ServiceDefinition } from '@grpc/grpc-js';
import { PxError } from '../../kernel/errors.js';
import { connectNode } from '../../platform/grpc-client.js';
import { mutualTls, type MutualTls } from '../../platform/grpc-credentials.js';
import { startGrpcServer, type RunningServer } from '../../platform/grpc-server.js';
import type { Logger } from '../../platform/logger.js';
import { delay, monotonicMs } from '../../platform/monotonic.js';
import { loadProto } from '../../platform/proto.js';
import type { RunCommand } from '../../platform/run-command.js';
import { readTlsFiles } from '../../platform/tls-files.js';
import type { ProtoGrpcType } from '../../gen/px.js';
import { ClusterView } from '../cluster/cluster-view.js';
import { confirmCluster, openIdentity } from '../cluster/node-identity.js';
import { NodeRegistry } from '../cluster/node-registry.js';
import { VolumeRepository } from '../cluster/volume-repository.js';
import { createEngineClient, type EngineClient } from '../engine-client/engine-client.js';
import type { EngineConfig } from '../engine/api.js';
import { createEtcdKvdb } from '../kvdb/etcd-kvdb.js';
import {
  memberEndpoints,
  startInternalEtcd,
  stopEtcd,
  type InternalEtcd,
} from '../kvdb/internal-etcd.js';
import { KvKeys, type Kvdb } from '../kvdb/port.js';
import { PolicyRepository } from '../policy/policy-repository.js';
import { openPools } from '../pool/open-pools.js';
import type { PoolSet } from '../pool/contracts.js';
import type { SnapshotScheduler } from '../schedule/snapshot-scheduler.js';
import { readBootId } from '../store/boot-id.js';
import { addressOf, hostPort, type Interfaces } from './addresses.js';
import type { BlockPath } from './block-path.js';
import { portsOf, type NodeConfig } from './config.js';
import type { NodeContext, NodeSelf } from './context.js';
import { engineConfig, kvdbConfig, writeEngineConfig } from './engine-config.js';
import { exportFiles } from './exported-files.js';
import { Healer } from './healer.js';
import { whyNotReady } from './health-server.js';
import { InternalAttach } from './internal-attach.js';
import { KeyedLocks } from './keyed-locks.js';
import { startMetrics, type MetricsServer } from './metrics.js';
import { NodeHealth } from './node-health.js';
import { nodeService } from './node-service.js';
import { Peers } from './peers.js';
import { processLives, startTimeOf } from '../sys/process-table.js';
import { PolicyApplier } from './policy-applier.js';
import { Publisher } from './publisher.js';
import { ReplicaMover } from './replica-mover.js';
import { ReplicaUsage } from './replica-usage.js';
import { Reconciler } from './reconcile.js';
import { scheduledSnapshots } from './scheduled-snapshots.js';

export interface DaemonDeps {
  readonly config: NodeConfig;
  readonly logger: Logger;
  readonly run: RunCommand;
  readonly interfaces: Interfaces;
  readonly protoDir: string;
  readonly version: string;
  /** SHA-256 of the configuration file that this daemon runs with. */
  readonly configHash: string;
  readonly blockPath: BlockPath;
  /** In a container: what is not on the host's paths ends with it. */
  readonly inContainer: boolean;
  /** Ends the process: another daemon has this node's identity. */
  onFatal(error: PxError): void;
}

/** An earlier daemon's lease ends within this. */
const joinWaitMs = 20_000;
const kvdbWaitMs = 5_000;
const peerTimeoutMs = 10_000;

/** One px-node. Starting again after a crash at any line finds what the last one left. */
export class Daemon {
  private context: NodeContext | undefined;
  private server: RunningServer | undefined;
  private metrics: MetricsServer | undefined;
  private etcd: InternalEtcd | undefined;
  private reconciler: Reconciler | undefined;
  private healer: Healer | undefined;
  private mover: ReplicaMover | undefined;
  private publisher: Publisher | undefined;
  private policyApplier: PolicyApplier | undefined;
  private scheduler: SnapshotScheduler | undefined;

  constructor(private readonly deps: DaemonDeps) {}

  async start(): Promise<void> {
    const { config, logger, protoDir } = this.deps;
    // Before anything is begun: a file that is missing must not show as nodes that are away.
    const tls = config.tls === undefined ? undefined : mutualTls(readTlsFiles(config.tls));
    mkdirSync(config.runDir, { recursive: true });
    const identity = openIdentity(config.dataDir, config.clusterid);
    const { self, dataHost, mgmtHost } = this.describeSelf(identity.nodeId);
    const endpoints = await this.openKvdbEndpoints(mgmtHost);
    const kvdbSettings = kvdbConfig(config, endpoints);
    const kvdb = createEtcdKvdb(kvdbSettings);
    const keys = new KvKeys(config.clusterid);
    const registry = this.makeRegistry(kvdb, keys, self);
    const view = new ClusterView(kvdb, keys, logger);
    view.start();
    const joined = this.join(registry);
    // A daemon that must not run learns it here; one whose kvdb is away goes on.
    await settled(joined, kvdb);
    const pools = await this.openNodePools(self.id);
    const ports = portsOf(config.startPort);
    const engine = createEngineClient(config.runDir);
    const onHost = this.deps.inContainer ? exportFiles(config) : config;
    const dataAddress = { host: dataHost, port: ports.data };
    await this.startEngine(
      engineConfig(onHost, self.id, kvdbConfig(onHost, endpoints), dataAddress, pools),
      engine,
      kvdb,
    );
    const peers = new Peers(view, (address) =>
      connectNode(address, { timeoutMs: peerTimeoutMs, protoDir, credentials: tls?.client }),
    );
    const context: NodeContext = {
      ...{ self, config, kvdb, keys, view, registry, engine, pools, peers, logger },
      volumes: new VolumeRepository(kvdb, keys),
      policies: new PolicyRepository(kvdb, keys),
      locks: new KeyedLocks(),
      internal: new InternalAttach({ nodeId: self.id, engine, kvdb, keys, registry, logger }),
      health: new NodeHealth(),
      usage: new ReplicaUsage(engine),
      configHash: this.deps.configHash,
      engineVersion: () => this.deps.blockPath.engineVersion(),
    };
    this.context = context;
    await this.serve(context, mgmtHost, tls);
    this.startBackground(context, joined);
    logger.info('px-node serves', { nodeId: self.id, name: self.name, address: self.mgmtAddress });
  }

  /** Ends this process's part. The holder and the engine go on: attached volumes keep doing I/O. */
  async stop(): Promise<void> {
    this.policyApplier?.close();
    this.scheduler?.close();
    this.healer?.close();
    this.mover?.close();
    this.reconciler?.close();
    this.publisher?.close();
    this.metrics?.close();
    await this.server?.close(5_000);
    // In a container it would be killed in a moment; on a host it goes on for the data plane.
    if (this.deps.inContainer) await this.etcd?.stop();
    else this.etcd?.release();
    this.context?.peers.close();
    this.context?.view.close();
    // The lease is left to run out: the engine of this node still serves its volumes.
    this.context?.kvdb.close();
  }

  /** Why this node cannot serve, for a kubelet; '' when it can. */
  async notReady(): Promise<string> {
    // The pools and the engine come before the server does.
    if (this.context === undefined || this.server === undefined) return 'px-node is starting';
    return whyNotReady(this.context, this.publisher?.published ?? false);
  }

  private describeSelf(nodeId: string): { self: NodeSelf; dataHost: string; mgmtHost: string } {
    const { config, interfaces, version } = this.deps;
    const mgmtHost = config.addresses.mgmt ?? addressOf('mgtiface', config.mgtiface, interfaces);
    const dataHost =
      config.addresses.data ??
      (config.dataiface === undefined
        ? mgmtHost
        : addressOf('dataiface', config.dataiface, interfaces));
    const ports = portsOf(config.startPort);
    const self = {
      id: nodeId,
      name: config.nodeName ?? config.name ?? hostname(),
      version,
      clusterId: config.clusterid,
      mgmtAddress: hostPort(mgmtHost, ports.mgmt),
      dataAddress: hostPort(dataHost, ports.data),
    };
    return { self, dataHost, mgmtHost };
  }

  private async openKvdbEndpoints(mgmtHost: string): Promise<readonly string[]> {
    const { config, logger } = this.deps;
    if (config.kvdb !== 'internal') return config.kvdb;
    const members = config.kvdbMembers.length === 0 ? [mgmtHost] : config.kvdbMembers;
    const ports = portsOf(config.startPort);
    if (!members.includes(mgmtHost)) {
      // It was a member once: one that nobody asks any more must not go on.
      await stopEtcd(config.dataDir);
      return memberEndpoints(members, ports.etcdClient);
    }
    this.etcd = await startInternalEtcd({
      dataDir: config.dataDir,
      clusterId: config.clusterid,
      host: mgmtHost,
      members,
      exists: config.kvdbExists,
      clientPort: ports.etcdClient,
      peerPort: ports.etcdPeer,
      logger,
    });
    return this.etcd.endpoints;
  }

  private makeRegistry(kvdb: Kvdb, keys: KvKeys, self: NodeSelf): NodeRegistry {
    return new NodeRegistry({
      kvdb,
      keys,
      clusterId: self.clusterId,
      nodeId: self.id,
      self: {
        pid: process.pid,
        startTime: startTimeOf(process.pid),
        bootId: readBootId(),
        mgmtAddress: self.mgmtAddress,
      },
      logger: this.deps.logger,
      processLives,
      onConflict: (error) => this.deps.onFatal(error),
    });
  }

  /** Goes on until the kvdb answers; a conflict of identity ends the process. */
  private async join(registry: NodeRegistry): Promise<void> {
    for (;;) {
      try {
        const uuid = await registry.joinCluster(randomUUID());
        confirmCluster(this.deps.config.dataDir, uuid);
        return await registry.announce();
      } catch (error) {
        if (error instanceof PxError && error.code === 'failed_precondition') {
          this.deps.onFatal(error);
          return await new Promise<never>(() => undefined);
        }
        this.deps.logger.warn('the cluster cannot be joined yet', { error });
        await delay(1_000);
      }
    }
  }

  private openNodePools(nodeId: string): Promise<PoolSet> {
    const { config, logger, run } = this.deps;
    for (const { path } of config.storage.directories) mkdirSync(path, { recursive: true });
    return openPools(
      {
        clusterId: config.clusterid,
        nodeId,
        dataDir: config.dataDir,
        devices: config.storage.devices,
        useAll: config.storage.useAll,
        directories: config.storage.directories,
        force: config.storage.force,
      },
      { run, log: logger },
    );
  }

  private async startEngine(config: EngineConfig, engine: EngineClient, kvdb: Kvdb): Promise<void> {
    const { logger, blockPath } = this.deps;
    writeEngineConfig(config);
    await blockPath.start();
    await this.upgradeEngine(kvdb);
    const endMs = monotonicMs() + 20_000;
    for (;;) {
      try {
        // One that outlived the last daemon learns here of new pools or endpoints.
        await engine.call('engine.configure', config);
        return;
      } catch (error) {
        if (monotonicMs() > endMs) {
          logger.error('the engine does not answer; the node starts without it', { error });
          return;
        }
        await delay(100);
      }
    }
  }

  /**
   * Without the kvdb a new engine could attach nothing, and I/O would wait for
   * as long as it is away: the old one goes on until then.
   */
  private async upgradeEngine(kvdb: Kvdb): Promise<void> {
    const { blockPath, logger } = this.deps;
    if (kvdb.status().available) return blockPath.upgradeEngine();
    let begun = false;
    kvdb.onStatus(({ available }) => {
      if (!available || begun) return;
      begun = true;
      blockPath
        .upgradeEngine()
        .catch((error: unknown) => logger.error('the engine was not replaced', { error }));
    });
  }

  private async serve(
    context: NodeContext,
    mgmtHost: string,
    tls: MutualTls | undefined,
  ): Promise<void> {
    const { config, protoDir } = this.deps;
    const ports = portsOf(config.startPort);
    const loaded = loadProto(protoDir, 'px.proto') as unknown as ProtoGrpcType;
    const definition: ServiceDefinition = loaded.px.v1.Node.service;
    const isPublished = () => this.publisher?.published ?? false;
    this.server = await startGrpcServer({
      services: [nodeService(definition, context, isPublished)],
      listen: [`unix://${join(config.runDir, 'px-node.sock')}`, hostPort(mgmtHost, ports.mgmt)],
      credentials: tls?.server,
    });
    writePidFile(config.runDir);
    this.metrics = await startMetrics(context, () => this.notReady(), mgmtHost, ports.metrics);
  }

  private startBackground(context: NodeContext, joined: Promise<void>): void {
    this.publisher = new Publisher(context);
    this.reconciler = new Reconciler(context);
    this.healer = new Healer(context);
    this.mover = new ReplicaMover(context);
    this.policyApplier = new PolicyApplier(context);
    const scheduler = scheduledSnapshots(context);
    this.scheduler = scheduler;
    void joined.then(() => {
      this.publisher?.start();
      this.reconciler?.start();
      this.healer?.start();
      this.mover?.start();
      this.policyApplier?.start();
      context.view.onChange(() => scheduler.wake());
      scheduler.wake();
    });
    context.kvdb.onStatus(({ available, reason }) => {
      if (available) context.logger.info('the kvdb answers');
      else context.logger.warn('the kvdb does not answer; attached volumes go on', { reason });
      context.health.set(
        'kvdb',
        available
          ? []
          : [
              {
                severity: 'warning',
                resource: 'kvdb',
                message: `the kvdb does not answer (${reason}); changes wait`,
              },
            ],
      );
    });
  }
}

async function settled(joined: Promise<void>, kvdb: Kvdb): Promise<void> {
  let done = false;
  void joined.then(() => (done = true));
  const startedMs = monotonicMs();
  for (;;) {
    await Promise.race([joined, delay(500)]);
    const waitedMs = monotonicMs() - startedMs;
    if (done || waitedMs > joinWaitMs) return;
    if (waitedMs > kvdbWaitMs && !kvdb.status().available) return;
  }
}

export function pidFile(runDir: string): string {
  return join(runDir, 'px-node.pid');
}

function writePidFile(runDir: string): void {
  const descriptor = openSync(pidFile(runDir), 'w', 0o644);
  writeSync(descriptor, `${process.pid} ${startTimeOf(process.pid)}\n`);
  closeSync(descriptor);
}
