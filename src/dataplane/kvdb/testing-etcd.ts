import { spawn, type ChildProcess } from 'node:child_process';
import { existsSync, mkdtempSync, rmSync, statfsSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { monotonicMs, delay } from '../../platform/monotonic.js';
import { freePort } from '../../platform/testing-ports.js';

/**
 * Where etcds of tests keep their data: in memory, which survives kill -9 as a disk
 * does. Beside an installation an fsync of the disk takes seconds, and these tests
 * are not about how long.
 */
export function testEtcdDirectory(): string {
  const memory = '/dev/shm';
  return mkdtempSync(join(hasRoom(memory) ? memory : tmpdir(), 'px-etcd-'));
}

/** Each etcd lays out 128 MB of log at its start; containers often have 64 MB there. */
function hasRoom(directory: string): boolean {
  if (!existsSync(directory)) return false;
  const { bavail, bsize } = statfsSync(directory);
  return bavail * bsize > 2 * 1024 ** 3;
}

/** A real etcd of one member for tests, on ports of 127.0.0.1 that were free. */
export interface TestEtcd {
  readonly endpoint: string;
  readonly directory: string;
  /** SIGSTOP and SIGCONT: a server that takes connections and answers nothing. */
  freeze(): void;
  thaw(): void;
  kill(): Promise<void>;
  /** Starts it again on the same data and ports. */
  restart(): Promise<void>;
  /** Ends it and removes its data. */
  dispose(): Promise<void>;
}

export interface TestEtcdTls {
  readonly caFile: string;
  readonly certFile: string;
  readonly keyFile: string;
}

/** With `tls` it takes only clients whose certificate the authority signed. */
export async function startTestEtcd(
  extraArguments: readonly string[] = [],
  tls?: TestEtcdTls,
): Promise<TestEtcd> {
  const directory = testEtcdDirectory();
  const [clientPort, peerPort] = [await freePort(), await freePort()];
  const scheme = tls === undefined ? 'http' : 'https';
  const endpoint = `${scheme}://127.0.0.1:${clientPort}`;
  const metrics = `http://127.0.0.1:${await freePort()}`;
  const peer = `http://127.0.0.1:${peerPort}`;
  let child: ChildProcess;

  const start = async (): Promise<void> => {
    child = spawn(
      'etcd',
      [
        '--name=test',
        `--data-dir=${join(directory, 'data')}`,
        `--listen-client-urls=${endpoint}`,
        `--advertise-client-urls=${endpoint}`,
        `--listen-peer-urls=${peer}`,
        `--initial-advertise-peer-urls=${peer}`,
        `--initial-cluster=test=${peer}`,
        `--listen-metrics-urls=${metrics}`,
        '--log-level=error',
        ...(tls === undefined
          ? []
          : [
              '--client-cert-auth',
              `--trusted-ca-file=${tls.caFile}`,
              `--cert-file=${tls.certFile}`,
              `--key-file=${tls.keyFile}`,
            ]),
        ...extraArguments,
      ],
      { stdio: 'ignore' },
    );
    await answers(metrics);
  };
  const kill = async (): Promise<void> => {
    const ended = new Promise((resolve) => child.once('exit', resolve));
    if (child.exitCode !== null || child.signalCode !== null) return;
    child.kill('SIGKILL');
    await ended;
  };
  await start();
  return {
    endpoint,
    directory,
    freeze: () => void child.kill('SIGSTOP'),
    thaw: () => void child.kill('SIGCONT'),
    kill,
    restart: async () => {
      await kill();
      await start();
    },
    dispose: async () => {
      await kill();
      rmSync(directory, { recursive: true, force: true });
    },
  };
}

async function answers(endpoint: string): Promise<void> {
  const untilMs = monotonicMs() + 15_000;
  while (monotonicMs() < untilMs) {
    try {
      const response = await fetch(`${endpoint}/health`, { signal: AbortSignal.timeout(1_000) });
      if (response.ok) return;
    } catch {
      // Not listening yet.
    }
    await delay(50);
  }
  throw new Error(`etcd at ${endpoint} did not come up`);
}
