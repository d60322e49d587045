import { mkdir, readdir, readFile, rm, rmdir, writeFile } from 'node:fs/promises';
import path from 'node:path';
import type { NodeApi } from '../../src/platform/grpc-client.js';
import { connectCsi, connectPx, type CsiClients } from '../lib/grpc.js';
import { waitFor } from '../lib/wait.js';
import { attachDisks, makeDiskFiles } from './devices.js';
import { startEtcd } from './etcd.js';
import { clusterLayout, nodeLayout, type ClusterLayout, type NodeLayout } from './layout.js';
import {
  clearDrops,
  dropOneWay,
  listNamespaces,
  makeHub,
  makeNodeNetwork,
  removeNamespaces,
  setLink,
} from './network.js';
import { nodeConfig, type ConfigOverrides } from './node-config.js';
import {
  clusterProcesses,
  endGracefully,
  killAll,
  killOnce,
  kindOf,
  spawnDetached,
  type ProcessKind,
} from './processes.js';
import { leftovers, sweep } from './sweep.js';

export interface ClusterOptions {
  readonly dir: string;
  /** The repository, where dist/ and proto/ lie. */
  readonly rootDir: string;
  readonly nodes: number;
  readonly zones: number;
  readonly devices: number;
  readonly deviceSizeBytes: number;
  /** What px-csi asks AttachVolume for. */
  readonly frontend: 'fuse' | 'nbd';
  /** No namespaces and no loop devices: loopback addresses and directory pools. */
  readonly userSpace: boolean;
  /** Leaves the px-csi processes out. */
  readonly withoutCsi: boolean;
  readonly config: ConfigOverrides;
}

export const defaultOptions: Omit<ClusterOptions, 'dir' | 'rootDir'> = {
  nodes: 3,
  zones: 3,
  devices: 2,
  deviceSizeBytes: 4 * 1024 ** 3,
  frontend: 'fuse',
  userSpace: false,
  withoutCsi: false,
  config: {},
};

export interface NodeInfo {
  readonly name: string;
  readonly id: string;
  readonly zone: string;
  readonly address: string;
  readonly apiSocket: string;
  readonly csiSocket: string;
  /** Of px-node; 0 while it is down. */
  readonly pid: number;
  readonly devices: readonly string[];
  readonly dir: string;
  readonly kubeletDir: string;
}

interface StateFile {
  readonly options: ClusterOptions;
  readonly ids: Readonly<Record<string, string>>;
}

const startTimeoutMs = 60_000;
const stopTimeoutMs = 20_000;

/** A running cluster of real processes. Disposing of it leaves nothing behind. */
export class DevCluster {
  readonly layout: ClusterLayout;
  readonly options: ClusterOptions;
  readonly nodeLayouts: readonly NodeLayout[];
  private readonly ids = new Map<string, string>();
  private readonly devices = new Map<string, readonly string[]>();
  private readonly apis = new Map<string, NodeApi>();
  private readonly csis = new Map<string, CsiClients>();

  constructor(options: ClusterOptions, ids: Readonly<Record<string, string>> = {}) {
    this.options = options;
    this.layout = clusterLayout(options.dir, options.userSpace);
    this.nodeLayouts = Array.from({ length: options.nodes }, (_, index) =>
      nodeLayout(this.layout, index + 1, options.zones),
    );
    for (const [name, id] of Object.entries(ids)) this.ids.set(name, id);
  }

  node(name: string): NodeLayout {
    const found = this.nodeLayouts.find((node) => node.name === name || this.idOf(node) === name);
    if (found === undefined) {
      throw new Error(
        `no node ${name}: there are ${this.nodeLayouts.map((n) => n.name).join(', ')}`,
      );
    }
    return found;
  }

  private idOf(node: NodeLayout): string {
    return this.ids.get(node.name) ?? '';
  }

  id(name: string): string {
    return this.idOf(this.node(name));
  }

  /** The px-node API of a node; connections heal when the daemon is started again. */
  api(name: string): NodeApi {
    const node = this.node(name);
    let api = this.apis.get(node.name);
    if (api === undefined) {
      api = connectPx(this.options.rootDir, node.apiSocket);
      this.apis.set(node.name, api);
    }
    return api;
  }

  csi(name: string): CsiClients {
    const node = this.node(name);
    let csi = this.csis.get(node.name);
    if (csi === undefined) {
      csi = connectCsi(this.options.rootDir, node.csiSocket);
      this.csis.set(node.name, csi);
    }
    return csi;
  }

  async up(): Promise<void> {
    await mkdir(this.layout.dir, { recursive: true });
    await this.save();
    if (
      !this.layout.userSpace &&
      !(await listNamespaces(this.layout)).includes(this.layout.hubNamespace)
    ) {
      await makeHub(this.layout);
    }
    await startEtcd(this.layout);
    // One after the other would wait for every pool's format in turn.
    await Promise.all(this.nodeLayouts.map((node) => this.startNode(node.name)));
    await this.save();
  }

  /** Starts what of the node isn't running; after a kill, first sweeps what it left. */
  async startNode(name: string): Promise<void> {
    const node = this.node(name);
    for (const dir of [node.dir, node.runDir, node.dataDir, node.kubeletDir]) {
      await mkdir(dir, { recursive: true });
    }
    const running = await this.running(node.name);
    if (running.size === 0) await sweep(node.dir);
    await this.prepareNode(node);
    const dist = path.join(this.options.rootDir, 'dist/src');
    if (!running.has('px-node')) {
      // A socket of a dead process would take the first connections to nowhere.
      await rm(node.apiSocket, { force: true });
      this.spawnNode(node, 'px-node', [
        path.join(dist, 'dataplane/node/main.js'),
        ...['--config', node.configFile],
      ]);
    }
    const id = await this.waitReady(node.name);
    this.ids.set(node.name, id);
    if (!this.options.withoutCsi) {
      if (!running.has('px-csi')) {
        await rm(node.csiSocket, { force: true });
        this.spawnNode(node, 'px-csi', [
          path.join(dist, 'csi/main.js'),
          ...['--mode', 'all', '--endpoint', `unix://${node.csiSocket}`],
          ...['--node-endpoint', `unix://${node.apiSocket}`, '--frontend', this.options.frontend],
        ]);
      }
      await waitFor(`answer of px-csi on ${node.name}`, startTimeoutMs, async () => {
        const answer = await this.csi(node.name).identity.Probe({}, { timeoutMs: 2000 });
        return answer.ready === null || answer.ready.value ? true : undefined;
      });
    }
  }

  private async prepareNode(node: NodeLayout): Promise<void> {
    if (!this.layout.userSpace && !(await listNamespaces(this.layout)).includes(node.namespace)) {
      await makeNodeNetwork(this.layout, node);
    }
    if (!this.layout.userSpace) await setLink(this.layout, node, 'up');
    let devices: string[] = [];
    if (!this.layout.userSpace) {
      const { devices: count, deviceSizeBytes } = this.options;
      devices = await attachDisks(await makeDiskFiles(node, count, deviceSizeBytes));
    }
    this.devices.set(node.name, devices);
    const directory = path.join(node.dir, 'pool');
    if (devices.length === 0) await mkdir(directory, { recursive: true });
    const config = nodeConfig(this.layout, node, { devices, directory }, this.options.config);
    await writeFile(node.configFile, JSON.stringify(config, null, 2));
  }

  private spawnNode(node: NodeLayout, program: string, args: readonly string[]): void {
    spawnDetached({
      cluster: this.layout,
      nodeName: node.name,
      namespace: node.namespace,
      command: process.execPath,
      args,
      logFile: path.join(node.dir, `${program}.log`),
    });
  }

  /** Waits until the node says that it is operational, and returns its id. */
  private async waitReady(name: string): Promise<string> {
    try {
      return await waitFor(`operational px-node on ${name}`, startTimeoutMs, async () => {
        const status = await this.api(name).GetStatus({}, { timeoutMs: 2000 });
        return status.state === 'operational' ? status.id : undefined;
      });
    } catch (error) {
      const log = await readFile(path.join(this.node(name).dir, 'px-node.log'), 'utf8').catch(
        () => '',
      );
      throw new Error(`${(error as Error).message}\n${log.split('\n').slice(-15).join('\n')}`, {
        cause: error,
      });
    }
  }

  /** The kinds of processes of a node that are alive, with their ids. */
  async running(name: string): Promise<Map<ProcessKind, number>> {
    const node = this.node(name);
    const kinds = new Map<ProcessKind, number>();
    for (const process of await clusterProcesses(this.layout)) {
      if (process.node === node.name) kinds.set(kindOf(process.command), process.pid);
    }
    return kinds;
  }

  /**
   * A dead machine: its link goes down first, so that no peer hears a reset,
   * and then every process of the node gets a kill -9 at one moment.
   */
  async killNode(name: string): Promise<void> {
    const node = this.node(name);
    if (!this.layout.userSpace) await setLink(this.layout, node, 'down');
    await killAll(this.layout, (process) => process.node === node.name);
  }

  /** kill -9 of one program of a node. */
  async killProcess(name: string, kind: ProcessKind): Promise<number> {
    return killOnce(this.layout, this.node(name).name, kind);
  }

  /**
   * An orderly shutdown: what is attached and not in use is detached, then the
   * CSI driver, the daemon, and what outlives the daemon end.
   */
  async stopNode(name: string): Promise<void> {
    const node = this.node(name);
    await this.detachAll(node).catch(() => undefined);
    await endGracefully(this.layout, node.name, ['px-csi', 'px-node'], stopTimeoutMs);
    await endGracefully(this.layout, node.name, ['holder', 'engine'], stopTimeoutMs);
    await killAll(this.layout, (process) => process.node === node.name);
    await sweep(node.dir);
  }

  private async detachAll(node: NodeLayout): Promise<void> {
    const api = this.api(node.name);
    const { volumes } = await api.ListVolumes({}, { timeoutMs: 5000 });
    for (const volume of volumes) {
      if (volume.attached_on !== this.idOf(node)) continue;
      // One that is still mounted refuses; its writes are safe on the other replicas.
      await api.DetachVolume({ id_or_name: volume.id }).catch(() => undefined);
    }
  }

  /** Cuts a node off from everybody, or loses only one direction to given peers. */
  async partition(name: string, direction: 'both' | 'out' | 'in' = 'both'): Promise<void> {
    const node = this.node(name);
    this.needNetwork();
    if (direction === 'both') {
      await setLink(this.layout, node, 'down');
      return;
    }
    for (const peer of this.nodeLayouts.filter((other) => other.name !== node.name)) {
      if (direction === 'out') await dropOneWay(node, peer.address);
      else await dropOneWay(peer, node.address);
    }
  }

  /** Loses everything between two nodes, while both still reach etcd and the others. */
  async partitionPair(first: string, second: string): Promise<void> {
    this.needNetwork();
    await dropOneWay(this.node(first), this.node(second).address);
    await dropOneWay(this.node(second), this.node(first).address);
  }

  /** Loses what the node sends to etcd; it still reaches the other nodes, and they reach it. */
  async cutFromKvdb(name: string): Promise<void> {
    this.needNetwork();
    await dropOneWay(this.node(name), this.layout.hubAddress);
  }

  /** Ends every partition. A node that was killed keeps its link down until it is started. */
  async heal(): Promise<void> {
    this.needNetwork();
    for (const node of this.nodeLayouts) {
      await clearDrops(node);
      if ((await this.running(node.name)).has('px-node')) await setLink(this.layout, node, 'up');
    }
  }

  private needNetwork(): void {
    if (this.layout.userSpace) throw new Error('a partition needs network namespaces (root)');
  }

  /** kill -9 of etcd; its data stays. */
  async killEtcd(): Promise<void> {
    await killAll(this.layout, (process) => kindOf(process.command) === 'etcd');
  }

  async startEtcd(): Promise<void> {
    await startEtcd(this.layout);
  }

  async info(): Promise<NodeInfo[]> {
    const processes = await clusterProcesses(this.layout);
    return this.nodeLayouts.map((node) => ({
      name: node.name,
      id: this.idOf(node),
      zone: node.zone,
      address: node.address,
      apiSocket: node.apiSocket,
      csiSocket: node.csiSocket,
      pid: processes.find((p) => p.node === node.name && kindOf(p.command) === 'px-node')?.pid ?? 0,
      devices: this.devices.get(node.name) ?? [],
      dir: node.dir,
      kubeletDir: node.kubeletDir,
    }));
  }

  private async save(): Promise<void> {
    const state: StateFile = { options: this.options, ids: Object.fromEntries(this.ids) };
    await writeFile(this.layout.stateFile, JSON.stringify(state, null, 2));
  }

  closeClients(): void {
    for (const client of [...this.apis.values(), ...this.csis.values()]) client.close();
    this.apis.clear();
    this.csis.clear();
  }

  async down(): Promise<void> {
    this.closeClients();
    await downCluster(this.layout.dir);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.down();
  }
}

/** Starts a cluster; `await using` takes it down again. */
export async function upCluster(
  options: Partial<ClusterOptions> & Pick<ClusterOptions, 'dir'>,
): Promise<DevCluster> {
  const cluster = new DevCluster({ ...defaultOptions, rootDir: process.cwd(), ...options });
  try {
    await cluster.up();
  } catch (error) {
    if (process.env['PX_KEEP_FAILED'] !== '1') await cluster.down();
    throw error;
  }
  return cluster;
}

/** The cluster of a directory that another process started. */
export async function openCluster(dir: string): Promise<DevCluster> {
  const file = clusterLayout(dir, false).stateFile;
  const text = await readFile(file, 'utf8').catch(() => {
    throw new Error(`no cluster in ${dir}: start one with "up"`);
  });
  const state = JSON.parse(text) as StateFile;
  return new DevCluster(state.options, state.ids);
}

/** Ends every process of the directory's cluster and removes all that the kernel lists of it. */
export async function downCluster(dir: string): Promise<void> {
  const layout = clusterLayout(dir, false);
  await killAll(layout, () => true);
  await sweep(layout.dir);
  await removeNamespaces(layout);
  // Only what is ours, for the directory may have been somebody's before.
  for (const name of await readdir(layout.dir).catch(() => [])) {
    if (!/^(n\d+|etcd|etcd\.log|cluster\.json)$/.test(name)) continue;
    await rm(path.join(layout.dir, name), { recursive: true, force: true });
  }
  await rmdir(layout.dir).catch(() => undefined);
}

/** Everything that the kernel or the file system still has of a directory's cluster. */
export async function clusterLeftovers(dir: string): Promise<string[]> {
  const layout = clusterLayout(dir, false);
  const processes = await clusterProcesses(layout);
  return [
    ...processes.map((process) => `process ${process.pid} ${process.command}`),
    ...(await leftovers(layout.dir)),
    ...(await listNamespaces(layout)).map((name) => `namespace ${name}`),
  ];
}
