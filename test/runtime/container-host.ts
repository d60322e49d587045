import { spawn, type ChildProcess } from 'node:child_process';
import { once } from 'node:events';
import {
  existsSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  readlinkSync,
  rmdirSync,
  writeFileSync,
} from 'node:fs';
import path from 'node:path';
import { runCommand, type CommandResult } from '../../src/platform/run-command.js';
import { withoutForeignMounts } from '../../tools/lib/own-mounts.js';
import { waitFor } from '../../tools/lib/wait.js';

/**
 * A host for containers, as a Kubernetes node is one: a PID and a mount
 * namespace with an init of its own and shared mounts, in which runc starts
 * what a kubelet would have it start.
 */
export class ContainerHost {
  private constructor(
    private readonly keeper: ChildProcess,
    /** Its init, numbered as this process sees it. */
    readonly initPid: number,
  ) {}

  static async start(): Promise<ContainerHost> {
    // An init takes in every orphan and has to reap it: a plain sleep would not.
    const init = 'mount --make-rshared / && echo up && while :; do sleep 1000 & wait $!; done';
    const keeper = spawn(
      'unshare',
      [
        ...['--mount', '--pid', '--fork', '--mount-proc', '--kill-child', '--'],
        ...withoutForeignMounts(['bash', '-c', init]),
      ],
      { stdio: ['ignore', 'pipe', 'ignore'] },
    );
    await once(keeper.stdout, 'data');
    const children = `/proc/${keeper.pid}/task/${keeper.pid}/children`;
    return new ContainerHost(keeper, Number(readFileSync(children, 'utf8').trim()));
  }

  run(command: readonly string[], okExitCodes: readonly number[] = [0]): Promise<CommandResult> {
    const inside = ['--target', String(this.initPid), '--mount', '--pid', '--', ...command];
    return runCommand('nsenter', inside, { timeoutMs: 60_000, okExitCodes });
  }

  /** The init's end is the end of every process and every mount in there. */
  async end(): Promise<void> {
    process.kill(this.initPid, 'SIGKILL');
    if (this.keeper.exitCode === null && this.keeper.signalCode === null) {
      await once(this.keeper, 'exit');
    }
  }

  /** What a process of the host is called by this process, by a part of its command line. */
  async processId(...parts: readonly string[]): Promise<number> {
    const own = namespaceOf(this.initPid, 'pid');
    return waitFor(`a process with ${parts.join(', ')}`, 20_000, () => {
      const found = processIds().filter((pid) => {
        const line = commandLine(pid);
        return parts.every((part) => line.includes(part)) && namespaceOf(pid, 'pid') === own;
      });
      return found.length === 1 ? found[0] : undefined;
    });
  }
}

export interface PodOptions {
  readonly host: ContainerHost;
  readonly directory: string;
  readonly name: string;
  /** Of the host and of the container, visible to each other with all mounts. */
  readonly hostPaths: readonly string[];
  readonly args: readonly string[];
  /** As a pod that lacks `hostPID` would have it. */
  readonly ownPids?: boolean;
  /** As a pod without `mountPropagation` would have it. */
  readonly privateMounts?: boolean;
}

/** One privileged container on an overlay file system, in cgroups of its own. */
export class Pod {
  readonly logFile: string;
  private readonly bundle: string;
  private readonly cgroup: string;

  constructor(private readonly options: PodOptions) {
    this.bundle = path.join(options.directory, options.name);
    this.logFile = path.join(options.directory, `${options.name}.log`);
    this.cgroup = `px-runtime-test-${process.pid}/${options.name}`;
  }

  async start(): Promise<void> {
    await this.prepare();
    await this.launch(['--detach'], [0]);
  }

  /** Runs the container to its end. */
  async complete(): Promise<{ readonly code: number; readonly log: string }> {
    await this.prepare();
    const { exitCode } = await this.launch([], [0, 1]);
    await this.kill();
    return { code: exitCode, log: this.log() };
  }

  private launch(options: readonly string[], ok: readonly number[]): Promise<CommandResult> {
    const { name } = this.options;
    const run = ['runc', '--root', this.runcRoot(), 'run', ...options, '--bundle', this.bundle];
    const line = `exec ${[...run, name].join(' ')} </dev/null >>${this.logFile} 2>&1`;
    return this.options.host.run(['sh', '-c', line], ok);
  }

  private async prepare(): Promise<void> {
    const { host, name } = this.options;
    mkdirSync(this.bundle, { recursive: true });
    // The upper layer needs a file system of its own: the lower one is the whole machine.
    await host.run(['mount', '-t', 'tmpfs', 'tmpfs', this.bundle]);
    const [upper = '', work = '', root = ''] = ['upper', 'work', 'root'].map((part) =>
      path.join(this.bundle, part),
    );
    await host.run(['mkdir', upper, work, root]);
    const layers = `lowerdir=/,upperdir=${upper},workdir=${work}`;
    await host.run(['mount', '-t', 'overlay', 'overlay', '-o', layers, root]);
    const spec = path.join(this.options.directory, `${name}.json`);
    writeFileSync(spec, JSON.stringify(this.spec(root)));
    await host.run(['cp', spec, path.join(this.bundle, 'config.json')]);
  }

  log(): string {
    return existsSync(this.logFile) ? readFileSync(this.logFile, 'utf8') : '';
  }

  /** Every process that is in a cgroup of the pod, in any hierarchy. */
  processes(): number[] {
    const pids = this.cgroups().flatMap((directory) =>
      readFileSync(path.join(directory, 'cgroup.procs'), 'utf8').split('\n').filter(Boolean),
    );
    return [...new Set(pids.map(Number))];
  }

  /** As a kubelet ends a pod whose grace is over: SIGKILL to all that its cgroups hold. */
  async kill(): Promise<void> {
    while (this.processes().length > 0) {
      for (const pid of this.processes()) signal(pid, 'SIGKILL');
      await new Promise((resolve) => setTimeout(resolve, 10));
    }
    await this.remove();
  }

  /** SIGTERM to the main process, and what a runtime does after its end. Milliseconds until then. */
  async stop(): Promise<number> {
    const startedMs = performance.now();
    await this.options.host.run(['runc', '--root', this.runcRoot(), 'kill', this.name, 'TERM']);
    await this.ended();
    const tookMs = performance.now() - startedMs;
    await this.kill();
    return tookMs;
  }

  /** Waits for the end of the main process by itself. */
  async ended(): Promise<void> {
    await waitFor(`the end of ${this.name}`, 30_000, async () => {
      const { stdout } = await this.runc(['state', this.name]);
      return (JSON.parse(stdout) as { status: string }).status === 'stopped' ? true : undefined;
    });
  }

  async remove(): Promise<void> {
    await this.runc(['delete', '--force', this.name], [0, 1]);
    await this.options.host.run(['umount', '--recursive', this.bundle], [0, 1, 32]);
    for (const directory of this.cgroups()) removeDirectory(directory);
  }

  private get name(): string {
    return this.options.name;
  }

  private runcRoot(): string {
    return path.join(this.options.directory, 'runc');
  }

  private runc(args: readonly string[], ok?: readonly number[]): Promise<CommandResult> {
    return this.options.host.run(['runc', '--root', this.runcRoot(), ...args], ok);
  }

  private cgroups(): string[] {
    return hierarchies()
      .map((directory) => path.join(directory, this.cgroup))
      .filter((directory) => existsSync(directory));
  }

  /** What containerd hands to runc for a privileged container; see the OCI runtime specification. */
  private spec(root: string): object {
    const { args, hostPaths, ownPids, privateMounts } = this.options;
    const all = ['bounding', 'effective', 'permitted', 'inheritable'];
    const bind = (source: string, propagation: string) => ({
      ...{ destination: source, source, type: 'bind', options: ['rbind', propagation, 'rw'] },
    });
    return {
      ociVersion: '1.0.2',
      process: {
        ...{ user: { uid: 0, gid: 0 }, cwd: '/', args },
        env: [`PATH=${process.env['PATH'] ?? ''}`, 'KUBERNETES_SERVICE_HOST=10.96.0.1'],
        capabilities: Object.fromEntries(all.map((set) => [set, ownCapabilities()])),
      },
      root: { path: root },
      hostname: 'pod',
      mounts: [
        { destination: '/proc', type: 'proc', source: 'proc' },
        { destination: '/sys', type: 'sysfs', source: 'sysfs', options: ['nosuid', 'noexec'] },
        bind('/dev', 'rprivate'),
        ...hostPaths.map((hostPath) =>
          bind(hostPath, privateMounts === true ? 'rprivate' : 'rshared'),
        ),
      ],
      linux: {
        namespaces: ['mount', 'ipc', 'uts', ...(ownPids === true ? ['pid'] : [])].map((type) => ({
          type,
        })),
        resources: { devices: [{ allow: true, access: 'rwm' }] },
        cgroupsPath: `/${this.cgroup}`,
        rootfsPropagation: privateMounts === true ? 'rprivate' : 'rshared',
      },
    };
  }
}

/** Takes the cgroup away, in every hierarchy, once nobody is in it. */
export async function removeCgroup(name: string): Promise<void> {
  for (const directory of hierarchies()) {
    await waitFor(`an empty cgroup ${name}`, 10_000, () => {
      removeDirectory(path.join(directory, name));
      return existsSync(path.join(directory, name)) ? undefined : true;
    });
  }
}

function removeDirectory(directory: string): void {
  try {
    rmdirSync(directory);
  } catch {
    // Not there, or somebody is still in it.
  }
}

/** The mount points of every cgroup hierarchy, v1 and v2. */
function hierarchies(): string[] {
  return readFileSync('/proc/self/mountinfo', 'utf8')
    .split('\n')
    .filter((line) => / - cgroup2? /.test(line))
    .map((line) => line.split(' ')[4] ?? '');
}

/** The names that runc knows of the bits that this process has; see linux/capability.h. */
function ownCapabilities(): string[] {
  const mask = /^CapBnd:\s*([0-9a-f]+)$/m.exec(readFileSync('/proc/self/status', 'utf8'))?.[1];
  const bits = BigInt(`0x${mask ?? '0'}`);
  return capabilityNames
    .filter((_, bit) => ((bits >> BigInt(bit)) & 1n) === 1n)
    .map((name) => `CAP_${name}`);
}

const capabilityNames = [
  ...['CHOWN', 'DAC_OVERRIDE', 'DAC_READ_SEARCH', 'FOWNER', 'FSETID', 'KILL', 'SETGID', 'SETUID'],
  ...['SETPCAP', 'LINUX_IMMUTABLE', 'NET_BIND_SERVICE', 'NET_BROADCAST', 'NET_ADMIN', 'NET_RAW'],
  ...['IPC_LOCK', 'IPC_OWNER', 'SYS_MODULE', 'SYS_RAWIO', 'SYS_CHROOT', 'SYS_PTRACE', 'SYS_PACCT'],
  ...['SYS_ADMIN', 'SYS_BOOT', 'SYS_NICE', 'SYS_RESOURCE', 'SYS_TIME', 'SYS_TTY_CONFIG', 'MKNOD'],
  ...['LEASE', 'AUDIT_WRITE', 'AUDIT_CONTROL', 'SETFCAP', 'MAC_OVERRIDE', 'MAC_ADMIN', 'SYSLOG'],
  ...['WAKE_ALARM', 'BLOCK_SUSPEND', 'AUDIT_READ', 'PERFMON', 'BPF', 'CHECKPOINT_RESTORE'],
];

function processIds(): number[] {
  return readdirSync('/proc').map(Number).filter(Number.isInteger);
}

/** '' when there is no such process. */
export function commandLine(pid: number): string {
  try {
    return readFileSync(`/proc/${pid}/cmdline`, 'utf8').replaceAll('\0', ' ');
  } catch {
    return '';
  }
}

export function namespaceOf(pid: number, name: string): string {
  try {
    return readlinkSync(`/proc/${pid}/ns/${name}`);
  } catch {
    return '';
  }
}

function signal(pid: number, name: NodeJS.Signals): void {
  try {
    process.kill(pid, name);
  } catch {
    // It ended in between.
  }
}
