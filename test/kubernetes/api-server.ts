import { spawn, type ChildProcess } from 'node:child_process';
import { generateKeyPairSync } from 'node:crypto';
import { existsSync, readdirSync } from 'node:fs';
import { mkdir, open, readFile, rm, writeFile } from 'node:fs/promises';
import { request } from 'node:https';
import { homedir } from 'node:os';
import path from 'node:path';
import { freePort } from '../../src/platform/testing-ports.js';
import { tryRun, type RunResult } from '../../tools/lib/run.js';
import { GiveUp, waitFor } from '../../tools/lib/wait.js';

/** Directories with the built programs. */
export interface ApiServerPrograms {
  readonly etcd: string;
  readonly kubernetes: string;
}

export interface ApiServerOptions {
  readonly dir: string;
  readonly programs: ApiServerPrograms;
  readonly flags?: readonly string[];
}

const startTimeoutMs = 60_000;
const adminToken = 'admin-of-the-test';

/**
 * etcd and the real API server, alone: no node, no controller, so an object
 * stays as it was written. Enough for definitions, validation, server-side
 * apply, watches and leases; it is up in three seconds.
 */
export class ApiServer {
  private constructor(
    private readonly options: ApiServerOptions,
    private readonly etcdPort: number,
    readonly port: number,
  ) {}

  private etcd: ChildProcess | undefined;
  private server: ChildProcess | undefined;

  static async start(options: ApiServerOptions): Promise<ApiServer> {
    const [etcdPort, peerPort, port] = [await freePort(), await freePort(), await freePort()];
    const started = new ApiServer(options, etcdPort, port);
    await mkdir(options.dir, { recursive: true });
    try {
      await started.startEtcd(peerPort);
      await started.writeFiles();
      await started.startServer();
      await writeFile(started.kubeconfig, started.kubeconfigText());
    } catch (error) {
      await started.stop();
      throw error;
    }
    return started;
  }

  get url(): string {
    return `https://127.0.0.1:${this.port}`;
  }

  /** For client libraries and kubectl, as an administrator. */
  get kubeconfig(): string {
    return path.join(this.options.dir, 'kubeconfig');
  }

  kubectl(args: readonly string[], input?: string): Promise<RunResult> {
    const kubectl = path.join(this.options.programs.kubernetes, 'kubectl');
    return tryRun(kubectl, ['--kubeconfig', this.kubeconfig, ...args], {
      ...(input === undefined ? {} : { input }),
      env: { HOME: this.options.dir },
    });
  }

  /** Ends the API server as a crash would; its clients see their connections break. */
  async killServer(): Promise<void> {
    await end(this.server);
    this.server = undefined;
  }

  async startServer(): Promise<void> {
    const file = (name: string): string => path.join(this.options.dir, name);
    this.server = await this.spawn('kube-apiserver', this.options.programs.kubernetes, [
      `--etcd-servers=http://127.0.0.1:${this.etcdPort}`,
      '--bind-address=127.0.0.1',
      '--advertise-address=127.0.0.1',
      '--endpoint-reconciler-type=none',
      `--secure-port=${this.port}`,
      // The API server makes its certificate itself and keeps it here.
      `--cert-dir=${file('certificates')}`,
      '--service-cluster-ip-range=10.96.0.0/16',
      '--service-account-issuer=https://kubernetes.default.svc.cluster.local',
      `--service-account-key-file=${file('service-account.pub')}`,
      `--service-account-signing-key-file=${file('service-account.key')}`,
      `--token-auth-file=${file('tokens.csv')}`,
      '--authorization-mode=RBAC',
      // No controller makes the default ServiceAccount that pods would ask for.
      '--disable-admission-plugins=ServiceAccount',
      '--allow-privileged=true',
      '--profiling=false',
      ...(this.options.flags ?? []),
    ]);
    await this.waitReady();
  }

  async stop(): Promise<void> {
    await this.killServer();
    await end(this.etcd);
    this.etcd = undefined;
    await rm(path.join(this.options.dir, 'etcd'), { recursive: true, force: true });
  }

  private async startEtcd(peerPort: number): Promise<void> {
    const client = `http://127.0.0.1:${this.etcdPort}`;
    const peer = `http://127.0.0.1:${peerPort}`;
    this.etcd = await this.spawn('etcd', this.options.programs.etcd, [
      `--data-dir=${path.join(this.options.dir, 'etcd')}`,
      `--listen-client-urls=${client}`,
      `--advertise-client-urls=${client}`,
      `--listen-peer-urls=${peer}`,
      `--initial-advertise-peer-urls=${peer}`,
      `--initial-cluster=default=${peer}`,
      // What is in it goes with the test.
      '--unsafe-no-fsync',
      '--log-level=warn',
    ]);
  }

  private async writeFiles(): Promise<void> {
    const { privateKey, publicKey } = generateKeyPairSync('rsa', { modulusLength: 2048 });
    const key = privateKey.export({ type: 'pkcs1', format: 'pem' });
    const pub = publicKey.export({ type: 'spki', format: 'pem' });
    await writeFile(path.join(this.options.dir, 'service-account.key'), key, { mode: 0o600 });
    await writeFile(path.join(this.options.dir, 'service-account.pub'), pub);
    const tokens = `${adminToken},admin,1,"system:masters"\n`;
    await writeFile(path.join(this.options.dir, 'tokens.csv'), tokens, { mode: 0o600 });
  }

  private kubeconfigText(): string {
    const ca = path.join(this.options.dir, 'certificates', 'apiserver.crt');
    return JSON.stringify({
      apiVersion: 'v1',
      kind: 'Config',
      clusters: [{ name: 'test', cluster: { server: this.url, 'certificate-authority': ca } }],
      users: [{ name: 'admin', user: { token: adminToken } }],
      contexts: [{ name: 'test', context: { cluster: 'test', user: 'admin' } }],
      'current-context': 'test',
    });
  }

  private async spawn(name: string, dir: string, args: readonly string[]): Promise<ChildProcess> {
    const log = await open(path.join(this.options.dir, `${name}.log`), 'a');
    try {
      return spawn(path.join(dir, name), [...args], { stdio: ['ignore', log.fd, log.fd] });
    } finally {
      await log.close();
    }
  }

  private async waitReady(): Promise<void> {
    const log = path.join(this.options.dir, 'kube-apiserver.log');
    await waitFor(
      `answer of kube-apiserver (see ${log})`,
      startTimeoutMs,
      async () => {
        if (this.server?.exitCode !== null) {
          const text = await readFile(log, 'utf8').catch(() => '');
          throw new GiveUp(`kube-apiserver ended: ${text.split('\n').slice(-5).join('\n')}`);
        }
        return (await isReady(this.port)) ? true : undefined;
      },
      200,
    );
  }
}

/** Whether everything in the API server has started, its own priorities and roles too. */
function isReady(port: number): Promise<boolean> {
  return new Promise((resolve) => {
    const asked = request(
      {
        host: '127.0.0.1',
        port,
        path: '/readyz',
        headers: { authorization: `Bearer ${adminToken}` },
        // Its certificate is made by the server that is only just starting.
        rejectUnauthorized: false,
        agent: false,
        timeout: 2_000,
      },
      (answer) => {
        answer.resume();
        resolve(answer.statusCode === 200);
      },
    );
    asked.on('timeout', () => asked.destroy());
    asked.on('error', () => resolve(false));
    asked.end();
  });
}

async function end(child: ChildProcess | undefined): Promise<void> {
  if (child === undefined || child.exitCode !== null || child.signalCode !== null) return;
  const ended = new Promise((resolve) => child.once('exit', resolve));
  child.kill('SIGKILL');
  await ended;
}

/** The programs where an earlier run of the Kubernetes suite has built them. */
function findPrograms(): ApiServerPrograms | undefined {
  const cache = path.join(process.env.XDG_CACHE_HOME ?? path.join(homedir(), '.cache'), 'px');
  if (!existsSync(cache)) return undefined;
  const newest = readdirSync(cache)
    .sort((a, b) => b.localeCompare(a, 'en', { numeric: true }))
    .map((name) => path.join(cache, name, 'bin'));
  const dirOf = (name: string): string | undefined =>
    newest.find((dir) => existsSync(path.join(dir, name)));
  const etcd = dirOf('etcd');
  const kubernetes = dirOf('kube-apiserver');
  return etcd === undefined || kubernetes === undefined ? undefined : { etcd, kubernetes };
}

/** A suite on the real API server; where that was never built, its name says so. */
export function describeOnApiServer(
  name: string,
  tests: (programs: ApiServerPrograms) => void,
): void {
  const programs = findPrograms();
  if (programs !== undefined) describe(name, () => tests(programs));
  else describe.skip(`${name} (skipped: needs kube-apiserver)`, () => undefined);
}
