import { execFileSync } from 'node:child_process';
import { mkdtempSync, readdirSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { silentLogger } from '../../platform/logger.js';
import { delay } from '../../platform/monotonic.js';
import { createEtcdKvdb } from './etcd-kvdb.js';
import { startInternalEtcd, type InternalEtcd } from './internal-etcd.js';
import type { Kvdb } from './port.js';
import { freePort } from '../../platform/testing-ports.js';
import { startTestEtcd, type TestEtcd } from './testing-etcd.js';

jest.setTimeout(120_000);

async function eventually<T>(read: () => Promise<T>, timeoutMs = 30_000): Promise<T> {
  const endMs = performance.now() + timeoutMs;
  for (;;) {
    try {
      return await read();
    } catch (error) {
      if (performance.now() > endMs) throw error;
      await delay(100);
    }
  }
}

describe('etcd with users', () => {
  let etcd: TestEtcd;
  let kvdb: Kvdb | undefined;

  beforeAll(async () => {
    etcd = await startTestEtcd();
    const ctl = (...args: string[]) =>
      execFileSync('etcdctl', ['--endpoints', etcd.endpoint, ...args], {
        env: { ...process.env, ETCDCTL_API: '3' },
      });
    ctl('user', 'add', 'root:secret');
    ctl('user', 'grant-role', 'root', 'root');
    ctl('role', 'add', 'px');
    ctl('role', 'grant-permission', '--prefix=true', 'px', 'readwrite', 'pwx/');
    ctl('user', 'add', 'px:word');
    ctl('user', 'grant-role', 'px', 'px');
    ctl('auth', 'enable');
  });
  afterEach(() => kvdb?.close());
  afterAll(() => etcd.dispose());

  it('reads, writes, watches and leases below the prefix of its role', async () => {
    kvdb = createEtcdKvdb({ endpoints: [etcd.endpoint], username: 'px', password: 'word' });
    const store = kvdb;
    const lease = await store.grantLease(5_000);
    const hinted = new Promise<void>((resolve) => {
      store.watch('pwx/c/', (keys) => {
        if (keys.includes('pwx/c/a')) resolve();
      });
    });
    await delay(300);
    const put = { type: 'put', key: 'pwx/c/a', value: '1', leaseId: lease.id } as const;
    expect((await store.txn([], [put])).outcome).toBe('ok');
    await hinted;
    expect((await store.get('pwx/c/a'))?.value).toBe('1');
    await lease.revoke();
    expect(await store.get('pwx/c/a')).toBeUndefined();
  });

  it('goes on when etcd has forgotten its token', async () => {
    kvdb = createEtcdKvdb({ endpoints: [etcd.endpoint], username: 'px', password: 'word' });
    const store = kvdb;
    await store.txn([], [{ type: 'put', key: 'pwx/c/b', value: '1' }]);
    // Simple tokens live in the server's memory only.
    await etcd.restart();
    expect((await eventually(() => store.get('pwx/c/b')))?.value).toBe('1');
  });

  it('says that the password is wrong, within its time bound', async () => {
    kvdb = createEtcdKvdb({ endpoints: [etcd.endpoint], username: 'px', password: 'wrong' });
    await expect(kvdb.get('pwx/c/a')).rejects.toThrow(/authentication failed|invalid user/i);
  });
});

describe('etcd over TLS', () => {
  let directory: string;
  let etcd: TestEtcd;
  const file = (name: string) => join(directory, name);

  beforeAll(async () => {
    directory = mkdtempSync(join(tmpdir(), 'px-etcd-tls-'));
    makeCertificates(directory);
    etcd = await startTestEtcd([], {
      caFile: file('ca.pem'),
      certFile: file('server.pem'),
      keyFile: file('server.key'),
    });
  });
  afterAll(async () => {
    await etcd.dispose();
    rmSync(directory, { recursive: true, force: true });
  });

  it('serves a client that has a certificate, and no other', async () => {
    const good = createEtcdKvdb({
      endpoints: [`etcd:${etcd.endpoint}`],
      caFile: file('ca.pem'),
      certFile: file('client.pem'),
      keyFile: file('client.key'),
    });
    expect((await good.txn([], [{ type: 'put', key: 'a', value: '1' }])).outcome).toBe('ok');
    expect((await good.get('a'))?.value).toBe('1');
    good.close();
    const stranger = createEtcdKvdb({
      endpoints: [etcd.endpoint],
      caFile: file('ca.pem'),
      callTimeoutMs: 500,
    });
    await expect(stranger.get('a')).rejects.toMatchObject({ code: 'kvdb_unavailable' });
    stranger.close();
  });
});

describe('an internal etcd of three members', () => {
  it('forms one cluster and survives the loss of one member', async () => {
    const directory = mkdtempSync(join(tmpdir(), 'px-etcd-three-'));
    const members = ['127.0.0.1', '127.0.0.2', '127.0.0.3'];
    const [clientPort, peerPort] = [await freePort(), await freePort()];
    const started: InternalEtcd[] = [];
    let kvdb: Kvdb | undefined;
    try {
      for (const host of members) {
        started.push(
          await startInternalEtcd({
            dataDir: join(directory, host),
            clusterId: 'three',
            ...{ host, members, clientPort, peerPort },
            logger: silentLogger,
          }),
        );
      }
      kvdb = createEtcdKvdb({ endpoints: started[0]?.endpoints ?? [], callTimeoutMs: 1_000 });
      const store = kvdb;
      await eventually(() => store.get('a'));
      expect((await store.txn([], [{ type: 'put', key: 'a', value: '1' }])).outcome).toBe('ok');
      started[0]?.release();
      process.kill(started[0]?.pid() ?? 0, 'SIGKILL');
      expect((await eventually(() => store.get('a')))?.value).toBe('1');
      const written = await eventually(async () => {
        const outcome = await store.txn([], [{ type: 'put', key: 'b', value: '2' }]);
        if (outcome.outcome !== 'ok') throw new Error(outcome.outcome);
        return outcome;
      });
      expect(written.outcome).toBe('ok');
    } finally {
      kvdb?.close();
      for (const member of started) await member.stop();
      rmSync(directory, { recursive: true, force: true });
    }
  });
});

describe('a member of the internal etcd that is replaced', () => {
  it('leaves, its successor has the data, and its old data never comes back as a member', async () => {
    const directory = mkdtempSync(join(tmpdir(), 'px-etcd-heal-'));
    const [clientPort, peerPort] = [await freePort(), await freePort()];
    const running = new Map<string, InternalEtcd>();
    const start = async (host: string, members: readonly string[], exists: boolean) => {
      const dataDir = join(directory, host);
      const logger = silentLogger;
      const ports = { clientPort, peerPort };
      const options = { dataDir, clusterId: 'heal', host, members, exists, ...ports, logger };
      running.set(host, await startInternalEtcd(options));
    };
    const kill = (host: string): void => {
      running.get(host)?.release();
      process.kill(running.get(host)?.pid() ?? 0, 'SIGKILL');
    };
    const stores: Kvdb[] = [];
    const storeAt = (...hosts: string[]): Kvdb => {
      const endpoints = hosts.map((host) => `http://${host}:${clientPort}`);
      const store = createEtcdKvdb({ endpoints, callTimeoutMs: 1_000 });
      stores.push(store);
      return store;
    };
    try {
      const first = ['127.0.0.1', '127.0.0.2', '127.0.0.3'];
      await Promise.all(first.map((host) => start(host, first, false)));
      const store = storeAt('127.0.0.1', '127.0.0.2');
      await eventually(() => store.get('a'));
      expect((await store.txn([], [{ type: 'put', key: 'a', value: '1' }])).outcome).toBe('ok');
      kill('127.0.0.3');
      const second = ['127.0.0.1', '127.0.0.2', '127.0.0.4'];
      await start('127.0.0.4', second, true);
      // The successor and one old member are a majority of the new three.
      const healed = storeAt('127.0.0.4');
      await eventually(() => healed.get('a'));
      kill('127.0.0.1');
      expect((await eventually(() => healed.get('a')))?.value).toBe('1');
      // Its disk was replaced: it comes back with nothing, and nobody said so.
      rmSync(join(directory, '127.0.0.1', 'etcd'), { recursive: true });
      await start('127.0.0.1', second, false);
      const again = storeAt('127.0.0.1');
      expect((await eventually(() => again.get('a')))?.value).toBe('1');
      // The one that was replaced is chosen again, for the one that died next.
      kill('127.0.0.2');
      const third = ['127.0.0.1', '127.0.0.4', '127.0.0.3'];
      await start('127.0.0.3', third, true);
      const back = storeAt('127.0.0.3');
      expect((await eventually(() => back.get('a')))?.value).toBe('1');
      const aside = readdirSync(join(directory, '127.0.0.3'));
      expect(aside.some((name) => name.startsWith('etcd.no-member-'))).toBe(true);
    } finally {
      for (const store of stores) store.close();
      for (const member of running.values()) await member.stop();
      rmSync(directory, { recursive: true, force: true });
    }
  });

  it('founds no second store while the others are away', async () => {
    const directory = mkdtempSync(join(tmpdir(), 'px-etcd-alone-'));
    const [clientPort, peerPort] = [await freePort(), await freePort()];
    const members = ['127.0.0.1', '127.0.0.2', '127.0.0.3'];
    const options = { clusterId: 'alone', host: '127.0.0.3', members, clientPort, peerPort };
    const alone = { ...options, dataDir: directory, exists: true, logger: silentLogger };
    const waiting = await startInternalEtcd(alone);
    expect(waiting.pid()).toBe(0);
    expect(readdirSync(directory)).toEqual([]);
    waiting.release();
    rmSync(directory, { recursive: true, force: true });
  });
});

/** One authority, a certificate for 127.0.0.1 and one for a client. */
function makeCertificates(directory: string): void {
  const openssl = (...args: string[]) =>
    execFileSync('openssl', args, { cwd: directory, stdio: 'pipe' });
  const key = ['-newkey', 'ec', '-pkeyopt', 'ec_paramgen_curve:P-256', '-nodes', '-days', '2'];
  openssl('req', '-x509', ...key, '-subj', '/CN=ca', '-keyout', 'ca.key', '-out', 'ca.pem');
  const signed = ['-CA', 'ca.pem', '-CAkey', 'ca.key', '-addext', 'subjectAltName=IP:127.0.0.1'];
  for (const name of ['server', 'client']) {
    const files = ['-keyout', `${name}.key`, '-out', `${name}.pem`];
    const usage = ['-addext', 'basicConstraints=CA:FALSE'];
    openssl('req', '-x509', ...key, ...signed, ...usage, '-subj', `/CN=${name}`, ...files);
  }
}
