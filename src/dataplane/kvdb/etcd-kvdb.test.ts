import { execFileSync } from 'node:child_process';
import { rmSync } from 'node:fs';
import { createServer, type Server, type Socket, connect } from 'node:net';
import { silentLogger } from '../../platform/logger.js';
import { delay, monotonicMs } from '../../platform/monotonic.js';
import { createEtcdKvdb } from './etcd-kvdb.js';
import { startTimeOf } from '../sys/process-table.js';
import { startInternalEtcd } from './internal-etcd.js';
import { parseKvdbUris } from './kvdb-uri.js';
import type { Kvdb } from './port.js';
import { freePort } from '../../platform/testing-ports.js';
import { startTestEtcd, testEtcdDirectory, type TestEtcd } from './testing-etcd.js';

jest.setTimeout(60_000);

async function until(what: string, condition: () => boolean, timeoutMs = 15_000): Promise<void> {
  const endMs = monotonicMs() + timeoutMs;
  while (!condition()) {
    if (monotonicMs() > endMs) throw new Error(`${what} did not come within ${timeoutMs} ms`);
    await delay(20);
  }
}

describe('parseKvdbUris', () => {
  it.each([
    ['etcd:http://10.0.0.1:2379', 'http://10.0.0.1:2379'],
    ['etcd://etcd.example', 'http://etcd.example:2379'],
    ['https://e:2379/', 'https://e:2379'],
    ['http://[::1]:2380', 'http://[::1]:2380'],
  ])('takes %s', (uri, endpoint) => expect(parseKvdbUris([uri])).toEqual([endpoint]));

  it.each([['consul:http://x:1'], ['x'], [''], ['http://x/path'], ['http://a,https://b']])(
    'refuses "%s"',
    (uri) => expect(() => parseKvdbUris([uri])).toThrow(/kvdb/),
  );
});

describe('the etcd adapter against a real etcd', () => {
  let etcd: TestEtcd;
  let kvdb: Kvdb;

  beforeAll(async () => {
    etcd = await startTestEtcd();
    kvdb = createEtcdKvdb({ endpoints: [`etcd:${etcd.endpoint}`], callTimeoutMs: 1_000 });
  });
  afterAll(async () => {
    kvdb.close();
    await etcd.dispose();
  });

  it('reads, lists in order and transacts on modification revisions', async () => {
    expect(await kvdb.get('t/none')).toBeUndefined();
    const made = await kvdb.txn(
      [{ key: 't/a', modRevision: 0 }],
      [
        { type: 'put', key: 't/b', value: '2' },
        { type: 'put', key: 't/a', value: '1' },
      ],
    );
    expect(made).toMatchObject({ outcome: 'ok' });
    const revision = made.outcome === 'ok' ? made.revision : 0;
    expect((await kvdb.list('t/')).entries).toEqual([
      { key: 't/a', value: '1', modRevision: revision },
      { key: 't/b', value: '2', modRevision: revision },
    ]);
    const again = await kvdb.txn(
      [{ key: 't/a', modRevision: 0 }],
      [{ type: 'put', key: 't/b', value: '3' }],
    );
    expect(again).toEqual({ outcome: 'conflict' });
    const removed = await kvdb.txn(
      [{ key: 't/a', modRevision: revision }],
      [{ type: 'delete', key: 't/a' }],
    );
    expect(removed.outcome).toBe('ok');
    expect((await kvdb.list('t/')).entries.map((entry) => entry.value)).toEqual(['2']);
  });

  it('ends a leased key when its holder stops renewing, and not before', async () => {
    const lease = await kvdb.grantLease(2_000);
    await kvdb.txn([], [{ type: 'put', key: 'l/a', value: '1', leaseId: lease.id }]);
    await delay(3_500);
    expect(await kvdb.get('l/a')).toBeDefined();
    expect(lease.aliveUntilMs()).toBeGreaterThan(monotonicMs());
    await lease.revoke();
    expect(await kvdb.get('l/a')).toBeUndefined();
    expect(lease.aliveUntilMs()).toBe(0);
  });

  it('says that a lease is gone', async () => {
    const lease = await kvdb.grantLease(2_000);
    let gone = false;
    lease.onGone(() => (gone = true));
    const hex = BigInt(lease.id).toString(16);
    execFileSync('etcdctl', ['--endpoints', etcd.endpoint, 'lease', 'revoke', hex], {
      env: { ...process.env, ETCDCTL_API: '3' },
    });
    await until('the loss', () => gone);
    expect(lease.aliveUntilMs()).toBe(0);
  });

  it('bounds every call while etcd is frozen, shows it, and heals by itself', async () => {
    const hints: (readonly string[])[] = [];
    const watch = kvdb.watch('f/', (keys) => hints.push(keys));
    await until('the first hint', () => hints.length > 0);
    await kvdb.txn([], [{ type: 'put', key: 'f/a', value: '1' }]);
    await until('the key', () => hints.some((keys) => keys.includes('f/a')));
    const lease = await kvdb.grantLease(20_000);
    etcd.freeze();
    const startedMs = monotonicMs();
    const outcome = await kvdb.txn([], [{ type: 'put', key: 'f/b', value: '1' }]);
    expect(outcome.outcome).toBe('unknown');
    await expect(kvdb.get('f/a')).rejects.toMatchObject({ code: 'kvdb_unavailable' });
    expect(monotonicMs() - startedMs).toBeLessThan(6_000);
    await until('the outage in the status', () => !kvdb.status().available, 10_000);
    const before = hints.length;
    etcd.thaw();
    await until('the recovery', () => kvdb.status().available, 10_000);
    await until('a hint after the recovery', () => hints.length > before, 5_000);
    await kvdb.txn([], [{ type: 'put', key: 'f/c', value: '1' }]);
    await until('the watch', () => hints.some((keys) => keys.includes('f/c')), 5_000);
    expect((await kvdb.get('f/c'))?.value).toBe('1');
    expect(lease.aliveUntilMs()).toBeGreaterThan(monotonicMs());
    await lease.revoke();
    watch.close();
  });

  it('goes on after etcd was killed, and after a compaction', async () => {
    const hints: (readonly string[])[] = [];
    const watch = kvdb.watch('k/', (keys) => hints.push(keys));
    await until('the first hint', () => hints.length > 0);
    await etcd.kill();
    await expect(kvdb.get('k/a')).rejects.toMatchObject({ code: 'kvdb_unavailable' });
    await etcd.restart();
    await until('the recovery', () => kvdb.status().available, 10_000);
    for (let index = 0; index < 5; index++) {
      const put = await kvdb.txn([], [{ type: 'put', key: 'k/a', value: String(index) }]);
      expect(put.outcome).toBe('ok');
    }
    const revision = (await kvdb.list('k/')).revision;
    execFileSync('etcdctl', ['--endpoints', etcd.endpoint, 'compact', String(revision)], {
      env: { ...process.env, ETCDCTL_API: '3' },
    });
    hints.length = 0;
    await etcd.restart();
    await until('a hint after the restart', () => hints.length > 0, 10_000);
    await kvdb.txn([], [{ type: 'put', key: 'k/b', value: 'after' }]);
    await until('the watch', () => hints.some((keys) => keys.includes('k/b')), 5_000);
    watch.close();
  });

  it('leaves a frozen endpoint for one that answers', async () => {
    const dead = await freePort();
    const two = createEtcdKvdb({
      endpoints: [`http://127.0.0.1:${dead}`, etcd.endpoint],
      callTimeoutMs: 500,
    });
    const startedMs = monotonicMs();
    expect(await two.get('t/b')).toBeDefined();
    expect(monotonicMs() - startedMs).toBeLessThan(3_000);
    expect((await two.txn([], [{ type: 'put', key: 't/z', value: '1' }])).outcome).toBe('ok');
    two.close();
  });

  it('works with a slow etcd', async () => {
    const slow = await slowProxy(etcd.endpoint, 150);
    const through = createEtcdKvdb({ endpoints: [slow.endpoint] });
    const hints: (readonly string[])[] = [];
    const watch = through.watch('s/', (keys) => hints.push(keys));
    await until('the first hint', () => hints.length > 0);
    expect((await through.txn([], [{ type: 'put', key: 's/a', value: '1' }])).outcome).toBe('ok');
    await until('the key', () => hints.some((keys) => keys.includes('s/a')));
    watch.close();
    through.close();
    slow.close();
  });
});

describe('the internal etcd', () => {
  it('is adopted after its starter died, started again when it dies, and stops', async () => {
    const dataDir = testEtcdDirectory();
    const options = {
      dataDir,
      clusterId: 'c',
      host: '127.0.0.1',
      members: ['127.0.0.1'],
      clientPort: await freePort(),
      peerPort: await freePort(),
      logger: silentLogger,
    };
    const first = await startInternalEtcd(options);
    const kvdb = createEtcdKvdb({ endpoints: first.endpoints });
    try {
      await until('etcd', () => kvdb.status().available);
      expect((await kvdb.txn([], [{ type: 'put', key: 'a', value: '1' }])).outcome).toBe('ok');
      const pid = first.pid();
      first.release();
      const second = await startInternalEtcd(options);
      expect(second.pid()).toBe(pid);
      process.kill(pid, 'SIGKILL');
      await until('a new etcd', () => second.pid() !== pid && second.pid() !== 0);
      const reads = async (): Promise<string | undefined> => {
        try {
          return (await kvdb.get('a'))?.value;
        } catch {
          return undefined;
        }
      };
      let value = await reads();
      for (let tries = 0; value === undefined && tries < 20; tries++) {
        await delay(200);
        value = await reads();
      }
      expect(value).toBe('1');
      const last = second.pid();
      await second.stop();
      expect(last).toBeGreaterThan(0);
      expect(startTimeOf(last)).toBe('');
    } finally {
      kvdb.close();
      rmSync(dataDir, { recursive: true, force: true });
    }
  });
});

/** Holds every byte back for a while, in both directions. */
async function slowProxy(
  endpoint: string,
  delayMs: number,
): Promise<{ endpoint: string; close(): void }> {
  const target = new URL(endpoint);
  const sockets = new Set<Socket>();
  const server: Server = createServer((near) => {
    const far = connect(Number(target.port), target.hostname);
    const pipe = (from: Socket, to: Socket): void => {
      sockets.add(from);
      from.on('data', (data) => setTimeout(() => to.writable && to.write(data), delayMs));
      from.on('error', () => to.destroy());
      from.on('close', () => to.destroy());
    };
    pipe(near, far);
    pipe(far, near);
  });
  const port = await freePort();
  await new Promise<void>((resolve) => server.listen(port, '127.0.0.1', resolve));
  return {
    endpoint: `http://127.0.0.1:${port}`,
    close: () => {
      server.close();
      for (const socket of sockets) socket.destroy();
    },
  };
}
