import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import fc from 'fast-check';
import type { VolumeRecord } from '../../kernel/volume-record.js';
import { silentLogger } from '../../platform/logger.js';
import { createEtcdKvdb } from '../kvdb/etcd-kvdb.js';
import { KvKeys, type Kvdb, type TxnOutcome } from '../kvdb/port.js';
import { startTestEtcd, type TestEtcd } from '../kvdb/testing-etcd.js';
import { ClusterView } from './cluster-view.js';
import { confirmCluster, openIdentity } from './node-identity.js';
import { NodeRegistry, nodeTtlMs, type NodeRegistryDeps } from './node-registry.js';
import { VolumeRepository } from './volume-repository.js';

jest.setTimeout(60_000);

let etcd: TestEtcd;
let kvdb: Kvdb;
let keys: KvKeys;
let clusters = 0;

beforeAll(async () => {
  etcd = await startTestEtcd();
  kvdb = createEtcdKvdb({ endpoints: [etcd.endpoint] });
});
afterAll(async () => {
  kvdb.close();
  await etcd.dispose();
});
beforeEach(() => {
  keys = new KvKeys(`c${clusters++}`);
});

function record(id: string, name: string, changes: Partial<VolumeRecord> = {}): VolumeRecord {
  return {
    id,
    name,
    lifecycle: 'ready',
    sizeBytes: 4096,
    spec: {
      replicas: 2,
      ioPriority: 'low',
      fs: 'ext4',
      blockSizeBytes: 4096,
      nodes: [],
      zones: [],
      racks: [],
      regions: [],
      bestEffortLocation: false,
      group: '',
      groupEnforced: false,
      sticky: false,
      noDiscard: false,
      queueDepth: 128,
      ioProfile: 'auto',
      aggregationLevel: 1,
      labels: {},
    },
    createdAt: '2026-01-01T00:00:00Z',
    readOnly: false,
    parentId: '',
    replicas: [
      { id: `${id}-r1`, nodeId: 'n1', poolId: 'p1', state: 'in_sync' },
      { id: `${id}-r2`, nodeId: 'n2', poolId: 'p2', state: 'in_sync' },
    ],
    epoch: 3,
    attachedOn: 'n1',
    attachToken: 't',
    publishedOn: '',
    publishedReadOnly: false,
    ...changes,
  };
}

describe('VolumeRepository', () => {
  it('gives a name to one volume only, also when many create it at once', async () => {
    const volumes = new VolumeRepository(kvdb, keys);
    const created = await Promise.all(
      ['a', 'b', 'c', 'd'].map((id) => volumes.create(record(id, 'same'))),
    );
    expect(new Set(created.map((stored) => stored.record.id)).size).toBe(1);
    expect(await volumes.list()).toHaveLength(1);
    expect((await volumes.find('same'))?.record.id).toBe(created[0]?.record.id);
  });

  it('applies every one of many concurrent changes', async () => {
    const volumes = new VolumeRepository(kvdb, keys);
    await volumes.create(record('v', 'v'));
    await Promise.all(
      Array.from({ length: 8 }, () =>
        volumes.update('v', (current) => ({ ...current, sizeBytes: current.sizeBytes + 1 })),
      ),
    );
    expect((await volumes.get('v'))?.record.sizeBytes).toBe(4096 + 8);
  });

  it('sees through a transaction whose answer was lost', async () => {
    // The first answer of each kind is lost, after the change went through.
    const lost = new Set<string>();
    const lossy: Kvdb = {
      ...bind(kvdb),
      txn: async (compares, changes): Promise<TxnOutcome> => {
        const outcome = await kvdb.txn(compares, changes);
        const kind = changes.map((change) => change.type).join();
        if (lost.has(kind)) return outcome;
        lost.add(kind);
        return { outcome: 'unknown', reason: 'lost' };
      },
    };
    const volumes = new VolumeRepository(lossy, keys);
    const made = await volumes.create(record('v', 'v'));
    expect(made.record.id).toBe('v');
    const grown = await volumes.update('v', (current) =>
      current.sizeBytes === 8192 ? undefined : { ...current, sizeBytes: 8192 },
    );
    expect(grown.sizeBytes).toBe(8192);
    expect((await volumes.markDeleting('v', () => undefined))?.epoch).toBe(4);
    expect(lost.size).toBeGreaterThanOrEqual(3);
  });

  it('frees the name at once, and the record when the last replica is gone', async () => {
    const volumes = new VolumeRepository(kvdb, keys);
    await volumes.create(record('old', 'v'));
    await expect(volumes.dropReplica('old', 'old-r1')).rejects.toThrow(/not being deleted/);
    const marked = await volumes.markDeleting('old', () => undefined);
    expect(marked).toMatchObject({ lifecycle: 'deleting', attachedOn: '', epoch: 4 });
    expect((await volumes.create(record('new', 'v'))).record.id).toBe('new');
    await volumes.dropReplica('old', 'old-r1');
    expect((await volumes.get('old'))?.record.replicas).toHaveLength(1);
    await volumes.dropReplica('old', 'old-r2');
    expect(await volumes.get('old')).toBeUndefined();
    expect((await volumes.find('v'))?.record.id).toBe('new');
    await expect(volumes.require('old')).rejects.toMatchObject({ code: 'not_found' });
  });

  it('deletes nothing that may not be deleted', async () => {
    const volumes = new VolumeRepository(kvdb, keys);
    await volumes.create(record('v', 'v'));
    const refuse = () => {
      throw new Error('no');
    };
    await expect(volumes.markDeleting('v', refuse)).rejects.toThrow('no');
    expect((await volumes.find('v'))?.record.lifecycle).toBe('ready');
  });
});

describe('NodeRegistry', () => {
  const registry = (changes: Partial<NodeRegistryDeps> = {}) =>
    new NodeRegistry({
      kvdb,
      keys,
      clusterId: 'c',
      nodeId: 'n1',
      self: { pid: 1, startTime: '1', bootId: 'boot-a', mgmtAddress: '10.0.0.1:9002' },
      logger: silentLogger,
      processLives: () => true,
      onConflict: () => undefined,
      ...changes,
    });

  it('refuses a second daemon with the same identity while the first lives', async () => {
    const first = registry();
    await first.announce();
    const started = performance.now();
    await expect(registry().announce()).rejects.toThrow(/served by another daemon at 10\.0\.0\.1/);
    expect(performance.now() - started).toBeGreaterThan(nodeTtlMs);
    await first.leave();
    expect(await kvdb.get(keys.aliveNode('n1'))).toBeUndefined();
  });

  it("takes over at once from a daemon of this machine that died, else after the lease's end", async () => {
    // Its lease is simply not given back, as after a kill -9.
    await registry().announce();
    const next = registry({ processLives: () => false });
    const started = performance.now();
    await next.announce();
    expect(performance.now() - started).toBeLessThan(2_000);
    await next.leave();
  });

  it('announces the node again when its lease was lost', async () => {
    const alive = registry();
    await alive.announce();
    const key = keys.aliveNode('n1');
    const before = (await kvdb.get(key))?.modRevision;
    await etcd.kill();
    await etcd.restart();
    // Like a store that was away for longer than the lease.
    await kvdb.list(keys.alive);
    await kvdb.txn([], [{ type: 'delete', key }]);
    const lease = alive.leaseId() ?? '';
    const { execFileSync } = await import('node:child_process');
    const hex = BigInt(lease).toString(16);
    execFileSync('etcdctl', ['--endpoints', etcd.endpoint, 'lease', 'revoke', hex], {
      env: { ...process.env, ETCDCTL_API: '3' },
    });
    const back = await seen(key);
    expect(back).not.toBe(before);
    await alive.leave();
  });

  it('joins a cluster once', async () => {
    expect(await registry().joinCluster('u1')).toBe('u1');
    expect(await registry().joinCluster('u2')).toBe('u1');
  });
});

describe('ClusterView', () => {
  it('follows the store by hints and skips what it can not read', async () => {
    const view = new ClusterView(kvdb, keys, silentLogger);
    const volumes = new VolumeRepository(kvdb, keys);
    await kvdb.txn([], [{ type: 'put', key: keys.volume('bad'), value: '{' }]);
    await kvdb.txn([], [{ type: 'put', key: keys.node('bad'), value: '[]' }]);
    view.start();
    const there = new Promise<void>((resolve) =>
      view.onChange((state) => {
        if (state.volumes.has('v')) resolve();
      }),
    );
    await volumes.create(record('v', 'v'));
    await there;
    expect([...view.cached().volumes.keys()]).toEqual(['v']);
    expect(view.cached().nodes.size).toBe(0);
    view.close();
  });

  it.each([
    ['followed', true],
    ['read', false],
  ])('is the same as a whole read when changes are %s', async (_, followed) => {
    const seed = Math.floor(Math.random() * 2 ** 31);
    const { counting, reads } = countReads();
    const view = new ClusterView(counting, keys, silentLogger);
    await view.fresh();
    if (followed) await startFollowing(view);
    const before = reads();
    await fc.assert(
      fc.asyncProperty(fc.array(changeOf(), { maxLength: 6 }), async (changes) => {
        for (const { kind, index } of changes) {
          const id = `v${index}`;
          const put = { type: 'put' as const, value: JSON.stringify(record(id, id)) };
          if (kind === 'put') await kvdb.txn([], [{ ...put, key: keys.volume(id) }]);
          else if (kind === 'delete') {
            await kvdb.txn([], [{ type: 'delete', key: keys.volume(id) }]);
          } else if (kind === 'alive') {
            await kvdb.txn([], [{ type: 'put', key: keys.aliveNode(id), value: '' }]);
          } else await kvdb.txn([], [{ type: 'delete', key: keys.aliveNode(id) }]);
        }
        const state = await view.fresh();
        const whole = await new ClusterView(kvdb, keys, silentLogger).fresh();
        expect([...state.volumes]).toEqual([...whole.volumes]);
        expect([...state.alive].sort()).toEqual([...whole.alive].sort());
      }),
      { seed, numRuns: 60 },
    );
    // What a watch has told is not read, whatever it was.
    if (followed) expect(reads() - before).toBe(0);
    else expect(reads() - before).toBeGreaterThan(0);
    view.close();
  });

  it('reads what nobody told it: writes of others to the store, and a silent watch', async () => {
    const { counting, reads } = countReads();
    let silent = false;
    const view = new ClusterView(
      {
        ...counting,
        watch: (prefix, onHint, follower) =>
          kvdb.watch(prefix, onHint, {
            begins: (revision) => follower?.begins(revision),
            changed: (events) => {
              if (!silent) follower?.changed(events);
            },
          }),
      },
      keys,
      silentLogger,
    );
    await view.fresh();
    await startFollowing(view);
    await kvdb.txn([], [{ type: 'put', key: 'elsewhere', value: '' }]);
    const before = reads();
    await view.fresh();
    expect(reads()).toBe(before + 1);
    await kvdb.txn([], [{ type: 'put', key: keys.aliveNode('told'), value: '' }]);
    expect((await view.fresh()).alive.has('told')).toBe(true);
    silent = true;
    await kvdb.txn([], [{ type: 'put', key: keys.aliveNode('untold'), value: '' }]);
    await kvdb.txn([], [{ type: 'delete', key: keys.aliveNode('told') }]);
    expect([...(await view.fresh()).alive]).toEqual(expect.arrayContaining(['untold']));
    expect((await view.fresh()).alive.has('told')).toBe(false);
    view.close();
  });

  it('knows what happened while its watch was away', async () => {
    const view = new ClusterView(kvdb, keys, silentLogger);
    const volumes = new VolumeRepository(kvdb, keys);
    await view.fresh();
    await startFollowing(view);
    await etcd.kill();
    await expect(view.fresh()).rejects.toMatchObject({ code: 'kvdb_unavailable' });
    await etcd.restart();
    const other = createEtcdKvdb({ endpoints: [etcd.endpoint] });
    await new VolumeRepository(other, keys).create(record('v', 'v'));
    other.close();
    await seen(keys.volume('v'));
    expect((await view.fresh()).volumes.has('v')).toBe(true);
    await volumes.markDeleting('v', () => undefined);
    expect((await view.fresh()).volumes.get('v')?.lifecycle).toBe('deleting');
    view.close();
  });

  it('answers with what was true when it was asked, to many at once', async () => {
    const view = new ClusterView(kvdb, keys, silentLogger);
    const seen = await Promise.all(
      Array.from({ length: 20 }, async (_, index) => {
        await kvdb.txn([], [{ type: 'put', key: keys.aliveNode(`n${index}`), value: '' }]);
        return (await view.fresh()).alive.has(`n${index}`);
      }),
    );
    expect(seen).toEqual(Array.from({ length: 20 }, () => true));
  });
});

/** A kvdb that counts the reads of many keys. */
function countReads(): { counting: Kvdb; reads: () => number } {
  let count = 0;
  const counted =
    <Args extends unknown[], Answer>(read: (...args: Args) => Answer) =>
    (...args: Args): Answer => {
      count++;
      return read(...args);
    };
  const counting: Kvdb = {
    ...bind(kvdb),
    list: counted((prefix: string) => kvdb.list(prefix)),
    listKeys: counted((prefix: string) => kvdb.listKeys(prefix)),
    listSince: counted((prefix: string, revision: number) => kvdb.listSince(prefix, revision)),
  };
  return { counting, reads: () => count };
}

/** Starts the view's watch and waits until it has told something. */
async function startFollowing(view: ClusterView): Promise<void> {
  const told = new Promise<void>((resolve) =>
    view.onChange((state) => {
      if (state.maintenance.has('started')) resolve();
    }),
  );
  view.start();
  await kvdb.txn([], [{ type: 'put', key: keys.maintenanceOf('started'), value: '' }]);
  await told;
}

function changeOf() {
  return fc.record({
    kind: fc.constantFrom('put', 'delete', 'alive', 'dead'),
    index: fc.nat({ max: 5 }),
  });
}

describe('openIdentity', () => {
  it('is made once, kept, and refused to another cluster', () => {
    const directory = mkdtempSync(join(tmpdir(), 'px-identity-'));
    try {
      const first = openIdentity(directory, 'c1');
      expect(openIdentity(directory, 'c1')).toEqual(first);
      expect(() => openIdentity(directory, 'c2')).toThrow(/belongs to cluster "c1"/);
      confirmCluster(directory, 'u1');
      confirmCluster(directory, 'u1');
      expect(() => confirmCluster(directory, 'u2')).toThrow(/holds another cluster "c1"/);
      expect(openIdentity(directory, 'c1')).toMatchObject(first);
    } finally {
      rmSync(directory, { recursive: true, force: true });
    }
  });
});

async function seen(key: string): Promise<number> {
  for (;;) {
    const entry = await kvdb.get(key).catch(() => undefined);
    if (entry !== undefined) return entry.modRevision;
    await new Promise((resolve) => setTimeout(resolve, 50));
  }
}

function bind(target: Kvdb): Kvdb {
  return {
    get: (key) => target.get(key),
    revision: () => target.revision(),
    list: (prefix) => target.list(prefix),
    listKeys: (prefix) => target.listKeys(prefix),
    listSince: (prefix, revision) => target.listSince(prefix, revision),
    txn: (compares, changes) => target.txn(compares, changes),
    grantLease: (ttlMs) => target.grantLease(ttlMs),
    watch: (prefix, onHint, follower) => target.watch(prefix, onHint, follower),
    status: () => target.status(),
    onStatus: (callback) => target.onStatus(callback),
    close: () => target.close(),
  };
}
