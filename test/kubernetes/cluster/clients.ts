import path from 'node:path';
import { tryRun, type RunResult } from '../../../tools/lib/run.js';
import type { Programs } from './control-plane.js';
import type { ClusterLayout, NodeLayout } from './layout.js';
import { inNode } from './node.js';
import { initPid } from './processes.js';

export interface CommandOptions {
  readonly timeoutMs?: number;
  readonly input?: string;
  /** Sees the output as it comes. */
  readonly onOutput?: (text: string) => void;
  /** Of programs that run beside the API server. */
  readonly cwd?: string;
}

const commandTimeoutMs = 60_000;
/** How programs on a node find its containerd, and the containers that are Kubernetes'. */
export const containerdEnvironment = {
  CONTAINERD_ADDRESS: '/run/containerd/containerd.sock',
  CONTAINERD_NAMESPACE: 'k8s.io',
} as const;

/** What an administrator runs: kubectl, helm, and commands on a node. */
export abstract class ClusterClients {
  abstract readonly layout: ClusterLayout;

  protected abstract get programs(): Programs;

  abstract node(name: string): NodeLayout;

  /** The words before a command that is to run beside the API server. */
  hubCommand(): string[] {
    return ['nsenter', `--net=/run/netns/${this.layout.hubNamespace}`, '--'];
  }

  clientEnvironment(): Record<string, string> {
    const { helm, kubernetes } = this.programs;
    return {
      KUBECONFIG: this.layout.kubeconfig,
      PATH: `${kubernetes}:${helm}:${process.env.PATH ?? ''}`,
      // helm keeps what it fetched and rendered below the cluster's own directory.
      HELM_CACHE_HOME: path.join(this.layout.dir, 'helm/cache'),
      HELM_CONFIG_HOME: path.join(this.layout.dir, 'helm/config'),
      HELM_DATA_HOME: path.join(this.layout.dir, 'helm/data'),
    };
  }

  get kubeconfig(): string {
    return this.layout.kubeconfig;
  }

  /** As `kubectl version` of the server says it: `v1.35.4`. */
  get version(): string {
    return this.programs.version;
  }

  /** Runs any program beside the API server, as its administrator. */
  runBeside(words: readonly string[], options: CommandOptions = {}): Promise<RunResult> {
    const [command = '', ...args] = [...this.hubCommand(), ...words];
    return tryRun(command, args, {
      timeoutMs: commandTimeoutMs,
      ...options,
      env: this.clientEnvironment(),
    });
  }

  tryKubectl(args: readonly string[], options: CommandOptions = {}): Promise<RunResult> {
    return this.runBeside(['kubectl', ...args], options);
  }

  /** Runs kubectl and returns what it printed; throws where it fails. */
  async kubectl(args: readonly string[], options: CommandOptions = {}): Promise<string> {
    return succeeded(`kubectl ${args.join(' ')}`, await this.tryKubectl(args, options));
  }

  /** An object, or a List of them, as the API server has it. */
  async get<T = unknown>(args: readonly string[]): Promise<T> {
    return JSON.parse(await this.kubectl(['get', ...args, '-o', 'json'])) as T;
  }

  tryHelm(args: readonly string[], options: CommandOptions = {}): Promise<RunResult> {
    return this.runBeside(['helm', ...args], options);
  }

  async helm(args: readonly string[], options: CommandOptions = {}): Promise<string> {
    return succeeded(`helm ${args.join(' ')}`, await this.tryHelm(args, options));
  }

  /** Applies YAML or JSON documents. */
  applyYaml(text: string, args: readonly string[] = []): Promise<string> {
    return this.kubectl(['apply', '-f', '-', ...args], { input: text });
  }

  /** Applies objects; the API server takes a List. */
  apply(...items: readonly object[]): Promise<string> {
    return this.applyYaml(JSON.stringify({ apiVersion: 'v1', kind: 'List', items }));
  }

  /** `kubectl wait`: `condition` as in `condition=Ready`, `delete`, `jsonpath={…}=value`. */
  async waitFor(
    objects: string | readonly string[],
    condition: string,
    timeoutMs: number,
    namespace?: string,
  ): Promise<void> {
    const names = typeof objects === 'string' ? [objects] : objects;
    const where = namespace === undefined ? [] : ['-n', namespace];
    const seconds = Math.ceil(timeoutMs / 1000);
    const args = ['wait', ...where, ...names, `--for=${condition}`, `--timeout=${seconds}s`];
    await this.kubectl(args, { timeoutMs: timeoutMs + 10_000 });
  }

  protected async requireInit(node: NodeLayout): Promise<number> {
    const init = await initPid(this.layout, node.name);
    if (init === undefined) throw new Error(`${node.name} is off`);
    return init;
  }

  /** Runs a command on a node as its administrator would, outside of any pod. */
  async tryNodeExec(
    name: string,
    words: readonly string[],
    options: CommandOptions = {},
  ): Promise<RunResult> {
    const init = await this.requireInit(this.node(name));
    const [command = '', ...args] = [...inNode(init), ...words];
    return tryRun(command, args, {
      timeoutMs: commandTimeoutMs,
      ...options,
      env: containerdEnvironment,
    });
  }

  async nodeExec(
    name: string,
    words: readonly string[],
    options: CommandOptions = {},
  ): Promise<string> {
    return succeeded(`${name}: ${words.join(' ')}`, await this.tryNodeExec(name, words, options));
  }
}

function succeeded(what: string, result: RunResult): string {
  if (result.code === 0) return result.stdout;
  const said = (result.stderr.trim() || result.stdout.trim()).slice(-2000);
  throw new Error(`${what} ended with ${result.code}: ${said}`);
}
