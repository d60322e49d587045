import { spawn, type ChildProcess } from 'node:child_process';
import { closeSync, mkdirSync, openSync } from 'node:fs';
import { readdir, readFile, readlink } from 'node:fs/promises';
import { basename, join } from 'node:path';
import { PxError } from '../../kernel/errors.js';
import type { Logger } from '../../platform/logger.js';
import { endProcess, startTimeOf } from '../sys/process-table.js';
import { joinMembers, type Peer, type StartState } from './kvdb-membership.js';

export interface InternalEtcdOptions {
  /** The node's data directory; etcd's own is below it and tells our process from others. */
  readonly dataDir: string;
  readonly clusterId: string;
  /** This member's address, one of `members`. */
  readonly host: string;
  /** Addresses of all members: one, or three. The same list on each of them. */
  readonly members: readonly string[];
  /** The store was founded before: a member without data joins it, and never founds another. */
  readonly exists?: boolean;
  readonly clientPort: number;
  readonly peerPort: number;
  readonly program?: string;
  readonly logger: Logger;
}

export interface InternalEtcd {
  readonly endpoints: readonly string[];
  /** 0 while it is not running. */
  pid(): number;
  /** Stops watching over it; etcd itself goes on, as the data plane may need it. */
  release(): void;
  /** Ends etcd cleanly. */
  stop(): Promise<void>;
}

const superviseMs = 1_000;
const lastBackoffMs = 10_000;
const stopGraceMs = 5_000;

export function memberEndpoints(members: readonly string[], clientPort: number): string[] {
  return members.map((host) => `http://${bracketed(host)}:${clientPort}`);
}

/**
 * Adopts the etcd that runs on our data directory, or starts one, and starts
 * it again when it dies. It is detached: a killed px-node must not take the
 * cluster's store with it.
 */
export async function startInternalEtcd(options: InternalEtcdOptions): Promise<InternalEtcd> {
  if (!options.members.includes(options.host)) {
    throw new PxError(
      'invalid_argument',
      `kvdb members ${options.members.join(', ')} do not include ${options.host}`,
    );
  }
  const supervisor = new Supervisor(options);
  await supervisor.check().catch((error: unknown) => {
    // To join takes the other members; until then they serve us.
    if (!(error instanceof PxError) || error.code !== 'kvdb_unavailable') throw error;
    options.logger.warn('etcd is not started yet', { error });
  });
  supervisor.begin();
  return {
    endpoints: memberEndpoints(options.members, options.clientPort),
    pid: () => supervisor.pid,
    release: () => supervisor.release(),
    stop: () => supervisor.stop(),
  };
}

class Supervisor {
  pid = 0;
  private readonly options: InternalEtcdOptions;
  private readonly directory: string;
  private timer: NodeJS.Timeout | undefined;
  private backoffMs = superviseMs;
  private released = false;

  constructor(options: InternalEtcdOptions) {
    this.options = options;
    this.directory = etcdDirectory(options.dataDir);
  }

  begin(): void {
    this.timer = setTimeout(() => {
      this.check()
        .catch((error: unknown) => this.options.logger.error('etcd supervision failed', { error }))
        .finally(() => {
          if (!this.released) this.begin();
        });
    }, this.backoffMs);
    this.timer.unref();
  }

  /** The kernel's table of processes decides: a pid in a file may be somebody else by now. */
  async check(): Promise<void> {
    if (this.pid !== 0 && (await isOurEtcd(this.pid, this.directory))) {
      this.backoffMs = superviseMs;
      return;
    }
    const lost = this.pid !== 0;
    const found = await findEtcd(this.directory);
    if (this.released) return;
    if (found !== 0) {
      this.pid = found;
      this.options.logger.info('etcd adopted', { pid: found });
      return;
    }
    if (lost) this.backoffMs = Math.min(this.backoffMs * 2, lastBackoffMs);
    this.pid = this.spawn(await startStateOf(this.options, this.directory));
    this.options.logger.info(lost ? 'etcd had died; started again' : 'etcd started', {
      pid: this.pid,
    });
  }

  release(): void {
    this.released = true;
    clearTimeout(this.timer);
  }

  async stop(): Promise<void> {
    this.release();
    await stopEtcd(this.options.dataDir);
    this.pid = 0;
  }

  private spawn(start: StartState): number {
    mkdirSync(this.directory, { recursive: true, mode: 0o700 });
    const log = openSync(join(this.options.dataDir, 'etcd.log'), 'a');
    let child: ChildProcess;
    try {
      const args = etcdArguments(this.options, this.directory, start);
      child = spawn(this.options.program ?? 'etcd', args, {
        detached: true,
        cwd: '/',
        stdio: ['ignore', log, log],
        // etcd 3.4 refuses to run on 64-bit ARM without being told that it may.
        env:
          process.arch === 'arm64'
            ? { ...process.env, ETCD_UNSUPPORTED_ARCH: 'arm64' }
            : process.env,
      });
    } finally {
      closeSync(log);
    }
    child.on('error', (error) =>
      this.options.logger.error('etcd cannot be started; is etcd-server installed?', { error }),
    );
    child.unref();
    return child.pid ?? 0;
  }
}

/** Ends the etcd of this data directory, if one runs. */
export async function stopEtcd(dataDir: string): Promise<void> {
  const directory = etcdDirectory(dataDir);
  const pid = await findEtcd(directory);
  if (pid === 0) return;
  await endProcess(pid, startTimeOf(pid), stopGraceMs);
}

function etcdDirectory(dataDir: string): string {
  return join(dataDir, 'etcd');
}

function startStateOf(options: InternalEtcdOptions, directory: string): Promise<StartState> {
  const { logger, exists = false } = options;
  const members = options.members.map((host) => peerOf(options, host));
  return joinMembers({ directory, self: peerOf(options, options.host), members, exists, logger });
}

function peerOf(options: InternalEtcdOptions, host: string): Peer {
  return {
    name: `px-${host}`,
    peerUrl: `http://${bracketed(host)}:${options.peerPort}`,
    clientUrl: `http://${bracketed(host)}:${options.clientPort}`,
  };
}

function etcdArguments(
  options: InternalEtcdOptions,
  directory: string,
  start: StartState,
): string[] {
  const { name, peerUrl } = peerOf(options, options.host);
  const host = bracketed(options.host);
  const client = `http://${host}:${options.clientPort}`;
  // For etcdctl on the node. Members that share one machine's loopback can't all have it.
  const local = `http://127.0.0.1:${options.clientPort}`;
  const isLoopback = options.host.startsWith('127.');
  return [
    `--name=${name}`,
    `--data-dir=${directory}`,
    `--listen-client-urls=${isLoopback ? client : `${client},${local}`}`,
    `--advertise-client-urls=${client}`,
    `--listen-peer-urls=${peerUrl}`,
    `--initial-advertise-peer-urls=${peerUrl}`,
    `--initial-cluster=${start.initialCluster}`,
    `--initial-cluster-token=px-${options.clusterId}`,
    `--initial-cluster-state=${start.state}`,
    '--auto-compaction-mode=periodic',
    '--auto-compaction-retention=1h',
    // Our clients ping every 2 s; etcd's default calls less than 5 s an abuse.
    '--grpc-keepalive-min-time=1s',
    '--logger=zap',
    '--log-outputs=stderr',
  ];
}

async function findEtcd(directory: string): Promise<number> {
  for (const name of await readdir('/proc')) {
    const pid = Number(name);
    if (Number.isInteger(pid) && (await isOurEtcd(pid, directory))) return pid;
  }
  return 0;
}

async function isOurEtcd(pid: number, directory: string): Promise<boolean> {
  try {
    const commandLine = (await readFile(`/proc/${pid}/cmdline`, 'utf8')).split('\0');
    if (!commandLine.includes(`--data-dir=${directory}`)) return false;
    // The link also tells a zombie, which has no program any more. An upgrade
    // of the package leaves " (deleted)" behind the name.
    return basename(await readlink(`/proc/${pid}/exe`)).startsWith('etcd');
  } catch {
    return false;
  }
}

function bracketed(host: string): string {
  return host.includes(':') ? `[${host}]` : host;
}
