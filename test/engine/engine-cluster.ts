import { spawn, type ChildProcess } from 'node:child_process';
import { mkdirSync, mkdtempSync, openSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import type { VolumeRecord } from '../../src/kernel/volume-record.js';
import type { EngineConfig, EngineMethods } from '../../src/dataplane/engine/api.js';
import { HolderClient } from '../../src/dataplane/holder/holder-client.js';
import { createEtcdKvdb } from '../../src/dataplane/kvdb/etcd-kvdb.js';
import { type Kvdb, KvKeys } from '../../src/dataplane/kvdb/port.js';
import { startTestEtcd, type TestEtcd } from '../../src/dataplane/kvdb/testing-etcd.js';
import { freePort } from '../../src/platform/testing-ports.js';
import { writeIdentity } from '../../src/dataplane/store/directory-identity.js';
import { callJsonLines } from '../../src/platform/json-lines.js';
import { delay, monotonicMs } from '../../src/platform/monotonic.js';

const built = join(process.cwd(), 'dist/src/dataplane');
const clusterId = 'engine-test';

export interface EngineClusterOptions {
  readonly nodes: number;
  /** With a holder there is FUSE, and an engine that dies is started again. */
  readonly holder: boolean;
  readonly directory?: string;
  readonly ioThreads?: number;
  readonly tls?: (node: number) => EngineConfig['tls'];
  /** Arguments of node for the engines, such as those of its profiler. */
  readonly nodeArguments?: readonly string[];
  readonly engineArguments?: readonly string[];
}

/** Engines of several nodes on 127.0.0.1 with one real etcd; no px-node. Needs the built files. */
export class EngineCluster {
  readonly keys = new KvKeys(clusterId);
  private readonly children: (ChildProcess | undefined)[] = [];

  private constructor(
    readonly directory: string,
    readonly etcd: TestEtcd,
    readonly kvdb: Kvdb,
    private readonly options: EngineClusterOptions,
  ) {}

  static async start(options: EngineClusterOptions): Promise<EngineCluster> {
    const directory = mkdtempSync(join(options.directory ?? '/tmp', 'px-eng-'));
    const etcd = await startTestEtcd();
    const kvdb = createEtcdKvdb({ endpoints: [etcd.endpoint] });
    const cluster = new EngineCluster(directory, etcd, kvdb, options);
    try {
      for (let node = 0; node < options.nodes; node++) await cluster.prepare(node);
      for (let node = 0; node < options.nodes; node++) cluster.startNode(node);
      for (let node = 0; node < options.nodes; node++) await cluster.answers(node);
    } catch (error) {
      // Nobody else knows of it yet.
      await cluster.dispose();
      throw error;
    }
    return cluster;
  }

  nodeId(node: number): string {
    return `node${node}`;
  }
  runDir(node: number): string {
    return join(this.directory, `n${node}`);
  }
  holder(node: number): HolderClient {
    return new HolderClient(this.runDir(node));
  }

  private async prepare(node: number): Promise<void> {
    const runDir = this.runDir(node);
    const pool = join(runDir, 'pool');
    mkdirSync(pool, { recursive: true });
    const ids = { clusterId, nodeId: this.nodeId(node), deviceId: `dev${node}` };
    writeIdentity(pool, { formatVersion: 1, ...ids, poolId: `pool${node}`, class: 'high' });
    const port = await freePort();
    const config: EngineConfig = {
      clusterId,
      nodeId: this.nodeId(node),
      runDir,
      kvdb: { endpoints: [this.etcd.endpoint] },
      dataAddress: { host: '127.0.0.1', port },
      pools: [
        {
          id: `pool${node}`,
          directories: [pool],
          segmentBytes: 1024 ** 3,
          snapshotMethod: 'copy',
        },
      ],
      ioThreads: this.options.ioThreads ?? 1,
      timing: {
        heartbeatMs: 1000,
        leaseMs: 4000,
        replicaTimeoutMs: 4000,
        resyncBytesPerSecond: 500e6,
        cleanIntervalMs: 30_000,
      },
      tls: this.options.tls?.(node),
    };
    writeFileSync(join(runDir, 'engine.json'), JSON.stringify(config));
    const record = {
      ...{ id: this.nodeId(node), name: '', version: '', zone: '', region: '', rack: '' },
      ...{ labels: {}, mgmtAddress: '', dataAddress: `127.0.0.1:${port}`, state: 'operational' },
      ...{ stateReason: '', pools: [], drives: [], replicaUsage: {}, updatedAt: '' },
    };
    await this.put(this.keys.node(this.nodeId(node)), JSON.stringify(record));
  }

  startNode(node: number): void {
    const runDir = this.runDir(node);
    const log = openSync(join(runDir, 'log'), 'a');
    const { holder, nodeArguments = [], engineArguments = [] } = this.options;
    const engine = [...nodeArguments, join(built, 'engine/main.js'), '--run-dir', runDir];
    engine.push(...engineArguments);
    const args = holder
      ? [join(built, 'holder/main.js'), '--run-dir', runDir, '--', process.execPath, ...engine]
      : [...engine, '--no-holder'];
    const stdio = ['ignore', log, log] as ('ignore' | number)[];
    this.children[node] = spawn(process.execPath, args, { stdio, cwd: runDir });
  }

  /** SIGKILL of the engine; with a holder it comes back by itself, else by `startNode`. */
  async killEngine(node: number): Promise<void> {
    const { pid } = await this.call(node, 'engine.status', {});
    process.kill(pid, 'SIGKILL');
    const child = this.children[node];
    if (this.options.holder || child === undefined || child.exitCode !== null) return;
    await new Promise((resolve) => child.once('exit', resolve));
  }

  async answers(node: number): Promise<void> {
    const end = monotonicMs() + 15_000;
    for (;;) {
      try {
        await this.call(node, 'engine.status', {}, 1000);
        return;
      } catch (error) {
        if (monotonicMs() > end) throw error;
        await delay(50);
      }
    }
  }

  async call<M extends keyof EngineMethods>(
    node: number,
    method: M,
    params: EngineMethods[M]['params'],
    timeoutMs = 60_000,
  ): Promise<EngineMethods[M]['result']> {
    const path = join(this.runDir(node), 'engine.sock');
    return (await callJsonLines(path, method, params, timeoutMs)) as Promise<
      EngineMethods[M]['result']
    >;
  }

  /** What px-node does: the replicas, then the record. */
  async createVolume(id: string, sizeBytes: number, nodes: readonly number[]): Promise<void> {
    for (const node of nodes) {
      const ids = { volumeId: id, replicaId: `${id}-r${node}`, poolId: `pool${node}` };
      await this.call(node, 'replica.ensure', { ...ids, sizeBytes, blank: false });
    }
    const record: VolumeRecord = {
      ...{ id, name: id, lifecycle: 'ready', sizeBytes, createdAt: '', readOnly: false },
      parentId: '',
      spec: {
        ...{ replicas: nodes.length, ioPriority: 'high', fs: 'none', blockSizeBytes: 4096 },
        ...{ nodes: [], zones: [], racks: [], regions: [], bestEffortLocation: false },
        ...{ group: '', groupEnforced: false, sticky: false, noDiscard: false, queueDepth: 128 },
        ...{ ioProfile: '', aggregationLevel: 0, labels: {} },
      },
      replicas: nodes.map((node) => ({
        ...{ id: `${id}-r${node}`, nodeId: this.nodeId(node), poolId: `pool${node}` },
        state: 'in_sync',
      })),
      ...{ epoch: 0, attachedOn: '', attachToken: '', publishedOn: '', publishedReadOnly: false },
    };
    await this.put(this.keys.volume(id), JSON.stringify(record));
  }

  async record(id: string): Promise<VolumeRecord> {
    const entry = await this.kvdb.get(this.keys.volume(id));
    if (entry === undefined) throw new Error(`no record of ${id}`);
    return JSON.parse(entry.value) as VolumeRecord;
  }

  async put(key: string, value: string): Promise<void> {
    const { outcome } = await this.kvdb.txn([], [{ type: 'put', key, value }]);
    if (outcome !== 'ok') throw new Error(`putting ${key}: ${outcome}`);
  }

  /** Waits for what an event will bring; asks the engine, as px-node does. */
  async until(what: string, holds: () => Promise<boolean>, timeoutMs = 30_000): Promise<void> {
    const end = monotonicMs() + timeoutMs;
    while (!(await holds())) {
      if (monotonicMs() > end) throw new Error(`${what}: not within ${timeoutMs} ms`);
      await delay(100);
    }
  }

  async dispose(): Promise<void> {
    for (const [node, child] of this.children.entries()) {
      if (this.options.holder) {
        await this.holder(node)
          .call('holder.stop', { force: true })
          .catch(() => undefined);
      }
      if (child !== undefined && child.exitCode === null && child.signalCode === null) {
        const gone = new Promise((resolve) => child.once('exit', resolve));
        const late = setTimeout(() => child.kill('SIGKILL'), this.options.holder ? 5000 : 0);
        await gone;
        clearTimeout(late);
      }
    }
    this.kvdb.close();
    await this.etcd.dispose();
    rmSync(this.directory, { recursive: true, force: true });
  }
}
