import { mkdir, readFile } from 'node:fs/promises';
import path from 'node:path';
import { run } from '../../../tools/lib/run.js';
import { waitFor } from '../../../tools/lib/wait.js';
import type { KubernetesCluster } from './cluster.js';
import { addAddress } from './network.js';
import { makeAuthority, sign } from './pki.js';
import { killAll, spawnDetached } from './processes.js';

const role = 'external-etcd';
const clientName = 'px';
const authorityName = 'etcd-ca';
const startTimeoutMs = 30_000;
const commandTimeoutMs = 15_000;

/** A user of it, as an administrator makes one for px. */
export const etcdUser = { name: 'px', password: 'a word, with = and "signs"' } as const;
const rootUser = { name: 'root', password: 'secret' } as const;

/**
 * An etcd that belongs to nobody's Kubernetes, as a company has one: beside
 * the cluster at an address of its own, with a certificate, that wants a
 * client's certificate and a password. Ends with the cluster.
 */
export class ExternalEtcd {
  readonly address: string;
  private readonly dir: string;

  constructor(private readonly cluster: KubernetesCluster) {
    // The hub has the first address of its network, and nodes have the next ones.
    this.address = cluster.layout.hubAddress.replace(/\.\d+$/, '.250');
    this.dir = path.join(cluster.layout.dir, role);
  }

  /** As the StorageCluster names it. */
  get endpoint(): string {
    return `etcd:${this.url}`;
  }

  private get url(): string {
    return `https://${this.address}:2379`;
  }

  /** Founds it: certificates, a role that sees only what is px', its user. */
  async found(): Promise<void> {
    await mkdir(this.dir, { mode: 0o700 });
    await makeAuthority(this.dir, authorityName);
    const alternativeNames = [`IP:${this.address}`];
    const authority = authorityName;
    await sign(this.dir, { name: 'server', commonName: 'etcd', authority, alternativeNames });
    await sign(this.dir, { name: clientName, commonName: etcdUser.name, authority });
    await addAddress(this.cluster.layout, this.address);
    await this.start();
    const { name, password } = etcdUser;
    await this.ctl('user', 'add', rootUser.name, '--new-user-password', rootUser.password);
    await this.ctl('user', 'grant-role', 'root', 'root');
    await this.ctl('role', 'add', 'px');
    await this.ctl('role', 'grant-permission', '--prefix=true', 'px', 'readwrite', 'pwx/');
    await this.ctl('user', 'add', name, '--new-user-password', password);
    await this.ctl('user', 'grant-role', name, 'px');
    await this.ctl('auth', 'enable');
  }

  /** Starts it on the data that it has. */
  async start(): Promise<void> {
    const { layout, options } = this.cluster;
    const at = (name: string): string => path.join(this.dir, name);
    await spawnDetached({
      cluster: layout,
      ...{ node: 'hub', role, namespace: layout.hubNamespace },
      command: [
        path.join(options.programs.etcd, 'etcd'),
        `--data-dir=${at('data')}`,
        `--listen-client-urls=${this.url}`,
        `--advertise-client-urls=${this.url}`,
        // The Kubernetes cluster's own etcd has the usual port of peers.
        ...['listen-peer-urls', 'initial-advertise-peer-urls'].map((flag) => `--${flag}=${peer}`),
        `--initial-cluster=default=${peer}`,
        ...['--client-cert-auth', `--trusted-ca-file=${at(`${authorityName}.crt`)}`],
        ...[`--cert-file=${at('server.crt')}`, `--key-file=${at('server.key')}`],
        '--log-level=warn',
      ],
      logFile: path.join(layout.logDir, `${role}.log`),
    });
    await waitFor(`answer of the external etcd`, startTimeoutMs, async () => {
      const asked = await this.cluster.runBeside([
        ...['curl', '-s', '--max-time', '2', '--cacert', at(`${authorityName}.crt`)],
        ...['--cert', at(`${clientName}.crt`), '--key', at(`${clientName}.key`)],
        `${this.url}/health`,
      ]);
      return asked.stdout.includes('"true"') ? true : undefined;
    });
  }

  /** kill -9. */
  kill(): Promise<void> {
    return killAll(this.cluster.layout, (process) => process.role === role);
  }

  /** What belongs into the Secret that `kvdb.authSecret` names. */
  async credentials(): Promise<Readonly<Record<string, string>>> {
    const read = (name: string): Promise<string> => readFile(path.join(this.dir, name), 'utf8');
    return {
      username: etcdUser.name,
      password: etcdUser.password,
      'kvdb-ca.crt': await read(`${authorityName}.crt`),
      'kvdb.crt': await read(`${clientName}.crt`),
      'kvdb.key': await read(`${clientName}.key`),
    };
  }

  /** The names of all records, as its administrator sees them. */
  async keys(): Promise<readonly string[]> {
    const { name, password } = rootUser;
    const text = await this.ctl(
      ...['--user', name, '--password', password],
      ...['get', '', '--from-key', '--keys-only'],
    );
    return text.split('\n').filter((line) => line !== '');
  }

  private ctl(...words: readonly string[]): Promise<string> {
    const at = (name: string): string => path.join(this.dir, name);
    const [command = '', ...args] = [
      ...this.cluster.hubCommand(),
      ...['etcdctl', '--endpoints', this.url, '--cacert', at(`${authorityName}.crt`)],
      ...['--cert', at(`${clientName}.crt`), '--key', at(`${clientName}.key`), ...words],
    ];
    // Debian's etcdctl still speaks the second version of the API unless told otherwise.
    const env = { ETCDCTL_API: '3' };
    return run(command, args, { timeoutMs: commandTimeoutMs, env });
  }
}

const peer = 'http://127.0.0.1:12380';
