import { createReadStream, existsSync } from 'node:fs';
import { mkdir, readFile, writeFile } from 'node:fs/promises';
import path from 'node:path';
import { run } from '../../../tools/lib/run.js';
import { waitFor } from '../../../tools/lib/wait.js';
import { listCgroups, removeCgroups } from './cgroups.js';
import { ClusterClients, containerdEnvironment } from './clients.js';
import {
  components,
  isRunning,
  killComponent,
  startComponent,
  type Component,
  type Programs,
} from './control-plane.js';
import { corefile, corefilePath, dnsObjects } from './dns.js';
import { detachDisks, detachInnerLoops, listDiskLoops } from './disks.js';
import { inotifyShortage } from './inotify.js';
import { changedSettings, readSettings, type Settings } from './kernel-settings.js';
import { clusterLayout, nodeLayout, type ClusterLayout, type NodeLayout } from './layout.js';
import {
  addRoutes,
  cutFromApi,
  cutFromPeers,
  healApi,
  healPeers,
  listNamespaces,
  makeHub,
  removeNamespace,
  removeRoutes,
  setLink,
} from './network.js';
import { endInit, inNode, killNode, removeNode, startNode, type NodeMachine } from './node.js';
import { addToPki, makePki } from './pki.js';
import { pipeInto } from './pipe.js';
import { initPid, killAll, listProcesses } from './processes.js';

export interface ClusterOptions {
  readonly dir: string;
  readonly nodes: number;
  readonly disks: number;
  readonly diskSizeBytes: number;
  readonly programs: Programs;
  /** Archives that each node has before the first pod: the sandbox's, at least. */
  readonly images: readonly string[];
}

export const defaultOptions = { nodes: 3, disks: 2, diskSizeBytes: 8 * 1024 ** 3 } as const;

/** What a partition cuts: every packet, the API server only, or the other nodes only. */
export type PartitionScope = 'all' | 'api' | 'peers';

export interface NodeStatus {
  readonly name: string;
  readonly zone: string;
  readonly address: string;
  /** Of PID 1 as the machine sees it; 0 while the node is off. */
  readonly initPid: number;
  readonly rootDir: string;
}

interface StateFile extends ClusterOptions {
  /** The machine's settings before the first kubelet started. */
  readonly settings: Settings;
}

const commandTimeoutMs = 60_000;
const readyTimeoutMs = 120_000;
const importTimeoutMs = 300_000;

/** A real Kubernetes on this machine. Disposing of it leaves nothing behind. */
export class KubernetesCluster extends ClusterClients {
  readonly layout: ClusterLayout;
  private shape: ClusterOptions;
  private readonly settings: Settings;
  /** Archives that were loaded into every node: a node that is added gets them, too. */
  private readonly loaded: string[] = [];

  private constructor(options: ClusterOptions, settings: Settings) {
    super();
    this.shape = options;
    this.settings = settings;
    this.layout = clusterLayout(options.dir);
  }

  protected get programs(): Programs {
    return this.shape.programs;
  }

  get options(): ClusterOptions {
    return this.shape;
  }

  get nodes(): readonly NodeLayout[] {
    const { nodes } = this.shape;
    return Array.from({ length: nodes }, (_, index) => nodeLayout(this.layout, index + 1));
  }

  /** Brings a cluster up in a directory of its own; what a crash left there goes first. */
  static async start(options: ClusterOptions): Promise<KubernetesCluster> {
    const dir = path.resolve(options.dir);
    await KubernetesCluster.remove(dir);
    const shortage = await inotifyShortage(options.nodes);
    if (shortage !== undefined) throw new Error(shortage);
    const settings = await readSettings();
    await mkdir(dir, { recursive: true, mode: 0o700 });
    const cluster = new KubernetesCluster({ ...options, dir }, settings);
    await cluster.save();
    await cluster.boot();
    return cluster;
  }

  private async save(): Promise<void> {
    const state: StateFile = { ...this.shape, settings: this.settings };
    await writeFile(this.layout.stateFile, JSON.stringify(state, null, 2));
  }

  /** The cluster that runs in `dir`. */
  static async open(dir: string): Promise<KubernetesCluster> {
    const file = clusterLayout(dir).stateFile;
    const text = await readFile(file, 'utf8').catch(() => undefined);
    if (text === undefined) throw new Error(`no cluster in ${dir}: bring one up first`);
    const { settings, ...options } = JSON.parse(text) as StateFile;
    return new KubernetesCluster(options, settings);
  }

  /** Removes whatever there is of the cluster of `dir`, by what the kernel lists. */
  static async remove(dir: string): Promise<void> {
    const layout = clusterLayout(dir);
    const known = await KubernetesCluster.open(dir).catch(() => undefined);
    for (const node of known?.nodes ?? []) await endInit(layout, node);
    await killAll(layout, () => true);
    for (const node of known?.nodes ?? []) await detachInnerLoops(node);
    for (const name of await listNamespaces(layout)) await removeNamespace(name);
    await detachDisks(layout);
    await waitFor('end of the cgroups', 20_000, async () => {
      await removeCgroups(layout);
      return (await listCgroups(layout)).length === 0 ? true : undefined;
    });
    // Only a directory that is known to be a cluster's is removed.
    if (existsSync(layout.stateFile)) {
      await run('rm', ['-rf', '--one-file-system', layout.dir], { timeoutMs: commandTimeoutMs });
    }
  }

  /** What the kernel still lists of the cluster of `dir`, as text; empty after `remove`. */
  static async leftovers(dir: string): Promise<string[]> {
    const layout = clusterLayout(dir);
    return [
      ...(await listProcesses(layout)).map((p) => `process ${p.pid} (${p.node} ${p.role})`),
      ...(await listNamespaces(layout)).map((name) => `network namespace ${name}`),
      ...(await listCgroups(layout)).map((name) => `cgroup ${name}`),
      ...(await listDiskLoops(layout)).map((name) => `loop device ${name}`),
    ];
  }

  private async boot(): Promise<void> {
    const { layout, nodes } = this;
    await makePki(layout, nodes);
    await makeHub(layout, nodes);
    await writeFile(corefilePath(layout), corefile(layout));
    const controlPlane = async (): Promise<void> => {
      for (const component of components) {
        if (component === 'coredns') await this.apply(...dnsObjects(layout));
        await startComponent(layout, component, this.options.programs);
      }
    };
    const machines = async (): Promise<void> => {
      for (const node of nodes) {
        await startNode(this.machine(node));
        for (const image of this.options.images) await this.importInto(node, image);
      }
    };
    await Promise.all([controlPlane(), machines()]);
    await this.waitNodesReady();
  }

  /** Brings one more node up, as a user who buys a machine; answers its name. */
  async addNode(): Promise<string> {
    const shortage = await inotifyShortage(1);
    if (shortage !== undefined) throw new Error(shortage);
    this.shape = { ...this.shape, nodes: this.shape.nodes + 1 };
    // First of all: whatever happens from here, the node is one of those that are taken down.
    await this.save();
    const node = this.node(`node-${this.shape.nodes}`);
    await addToPki(this.layout, node);
    await addRoutes(this.layout, node, this.nodes);
    await startNode(this.machine(node));
    for (const image of [...this.options.images, ...this.loaded])
      await this.importInto(node, image);
    await this.waitNodesReady();
    return node.name;
  }

  /** Takes the node away that was added last: the machine and its Node object. */
  async removeLastNode(): Promise<void> {
    const node = this.node(`node-${this.shape.nodes}`);
    await this.killNode(node.name);
    await this.kubectl(['delete', 'node', node.name, '--ignore-not-found']);
    await removeRoutes(this.layout, node, this.nodes);
    await removeNode(this.machine(node));
    this.shape = { ...this.shape, nodes: this.shape.nodes - 1 };
    await this.save();
  }

  private machine(node: NodeLayout): NodeMachine {
    const { disks, diskSizeBytes, programs } = this.options;
    const { layout: cluster, nodes } = this;
    const { version: kubernetesVersion, kubernetes: kubernetesBinDir } = programs;
    const of = { cluster, node, nodes, disks, diskSizeBytes };
    return { ...of, kubernetesVersion, kubernetesBinDir };
  }

  node(name: string): NodeLayout {
    const found = this.nodes.find((node) => node.name === name);
    if (found !== undefined) return found;
    throw new Error(`no node ${name}: there are ${this.nodes.map((n) => n.name).join(', ')}`);
  }

  async waitNodesReady(timeoutMs = readyTimeoutMs): Promise<void> {
    const names = this.nodes.map((node) => `node/${node.name}`);
    await waitFor('registered nodes', timeoutMs, async () => {
      const listed = await this.tryKubectl(['get', ...names], { timeoutMs: 10_000 });
      return listed.code === 0 ? true : undefined;
    });
    await this.waitFor(names, 'condition=Ready', timeoutMs);
    // A ready node takes pods only once the controller manager has removed its taint.
    const path = 'jsonpath={.items[*].spec.taints[*].key}';
    await waitFor('nodes without taint', timeoutMs, async () => {
      const taints = await this.kubectl(['get', 'nodes', '-o', path]);
      return /not-ready|unreachable/.test(taints) ? undefined : true;
    });
  }

  /** Imports an image archive (OCI layout or "docker save") into each node's containerd. */
  async loadImage(file: string, nodeNames?: readonly string[]): Promise<void> {
    const nodes = nodeNames?.map((name) => this.node(name)) ?? this.nodes;
    if (nodeNames === undefined) this.loaded.push(path.resolve(file));
    for (const node of nodes) await this.importInto(node, path.resolve(file));
  }

  private async importInto(node: NodeLayout, file: string): Promise<void> {
    const [command = '', ...args] = inNode(await this.requireInit(node));
    // The node doesn't see the machine's files: the archive comes in by a pipe.
    await pipeInto(createReadStream(file), command, [...args, 'ctr', 'images', 'import', '-'], {
      timeoutMs: importTimeoutMs,
      env: containerdEnvironment,
    });
  }

  /** Takes the node's power: no packet leaves it, everything in its memory is gone. */
  killNode(name: string): Promise<void> {
    return killNode(this.machine(this.node(name)));
  }

  /** Switches a dead node on, or one that runs off and on; it has its disks and a new boot id. */
  async restartNode(name: string): Promise<void> {
    await this.killNode(name);
    await startNode(this.machine(this.node(name)));
  }

  /** kill -9 of a node's service; its init starts it again, unless it is to stay stopped. */
  async killService(
    name: string,
    service: 'kubelet' | 'containerd' | 'kube-proxy',
    stayStopped = false,
  ): Promise<void> {
    if (stayStopped) await this.nodeExec(name, ['touch', `/run/pxk/${service}.stopped`]);
    // The node's own /proc has its own processes only, those of its pods too.
    const root = '/opt/kubernetes/bin';
    const program = service === 'containerd' ? '/usr/bin/containerd' : `${root}/${service}`;
    await this.tryNodeExec(name, ['pkill', '-9', '-f', `^${program} `]);
  }

  async startService(name: string, service: 'kubelet' | 'containerd' | 'kube-proxy') {
    await this.nodeExec(name, ['rm', '-f', `/run/pxk/${service}.stopped`]);
  }

  async partition(name: string, scope: PartitionScope = 'all'): Promise<void> {
    const node = this.node(name);
    if (scope === 'all') await setLink(this.layout, node, 'down');
    else if (scope === 'api') await cutFromApi(this.layout, node);
    else await cutFromPeers(node, this.nodes);
  }

  /** Ends every partition of a node. */
  async heal(name: string): Promise<void> {
    const node = this.node(name);
    await setLink(this.layout, node, 'up');
    await healApi(this.layout, node);
    await healPeers(node, this.nodes);
  }

  /** kill -9 of a part of the control plane, and a new one. */
  async restartControlPlane(component: Component): Promise<void> {
    await killComponent(this.layout, component);
    await startComponent(this.layout, component, this.options.programs);
  }

  stopControlPlane(component: Component): Promise<void> {
    return killComponent(this.layout, component);
  }

  async status(): Promise<{ components: Record<string, boolean>; nodes: NodeStatus[] }> {
    const running: Record<string, boolean> = {};
    for (const component of components)
      running[component] = await isRunning(this.layout, component);
    const nodes: NodeStatus[] = [];
    for (const { name, zone, address, rootDir } of this.nodes) {
      const pid = (await initPid(this.layout, name)) ?? 0;
      nodes.push({ name, zone, address, initPid: pid, rootDir });
    }
    return { components: running, nodes };
  }

  /** The machine's settings that are no longer what they were before the cluster. */
  async changedSettings(): Promise<string[]> {
    return changedSettings(this.settings, await readSettings());
  }

  /** Takes everything down; throws when anything of it is left or the machine has changed. */
  async stop(): Promise<void> {
    await KubernetesCluster.remove(this.layout.dir);
    const left = await KubernetesCluster.leftovers(this.layout.dir);
    const wrong = [...left, ...(await this.changedSettings())];
    if (wrong.length > 0) throw new Error(`left behind: ${wrong.join(', ')}`);
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.stop();
  }
}
