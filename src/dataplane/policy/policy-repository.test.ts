import type { StoragePolicy } from '../../kernel/storage-policy.js';
import { silentLogger } from '../../platform/logger.js';
import { ClusterView } from '../cluster/cluster-view.js';
import { createEtcdKvdb } from '../kvdb/etcd-kvdb.js';
import { KvKeys, type Kvdb } from '../kvdb/port.js';
import { startTestEtcd, type TestEtcd } from '../kvdb/testing-etcd.js';
import { PolicyRepository } from './policy-repository.js';
import { testEntry } from './testing-volumes.js';

jest.setTimeout(60_000);

let etcd: TestEtcd;
let kvdb: Kvdb;
let keys: KvKeys;
let clusters = 0;
let now = new Date('2026-03-01T00:00:00Z');
let policies: PolicyRepository;

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
  policies = new PolicyRepository(kvdb, keys, () => now);
});

const policy = (changes: Partial<StoragePolicy> = {}) => testEntry('', changes).policy;

describe('PolicyRepository', () => {
  it('creates, replaces and deletes; each of them twice is once', async () => {
    await policies.put('gold', policy(), '');
    const first = await kvdb.get(keys.policy('gold'));
    await policies.put('gold', policy(), '');
    expect((await kvdb.get(keys.policy('gold')))?.modRevision).toBe(first?.modRevision);
    const changed = policy({ volume: { sticky: true } });
    await policies.put('gold', changed, '');
    expect((await policies.all()).get('gold')?.policy).toEqual(changed);
    await policies.delete('gold', '', false);
    await policies.delete('gold', '', false);
    expect((await policies.all()).size).toBe(0);
  });

  it('lets one policy only be the default, also when many ask at once', async () => {
    const asked = ['a', 'b', 'c', 'd'].map((name) =>
      policies.put(name, policy({ default: true }), ''),
    );
    const done = await Promise.allSettled(asked);
    expect(done.filter(({ status }) => status === 'fulfilled')).toHaveLength(1);
    const [first = ''] = [...(await policies.all()).keys()];
    for (const result of done) {
      if (result.status === 'fulfilled') continue;
      expect(result.reason).toMatchObject({ code: 'failed_precondition' });
      expect(String(result.reason)).toContain(`"${first}" is the default already`);
    }
    await policies.put(first, policy(), '');
    await policies.put('next', policy({ default: true }), '');
    await policies.delete('next', '', false);
    await policies.put(first, policy({ default: true }), '');
  });

  it("leaves the operator's policies to the operator, unless forced", async () => {
    await policies.put('gold', policy(), '');
    await policies.put('gold', policy({ allowUpdate: true }), 'kubernetes');
    const refused = { code: 'failed_precondition', fields: { owner: 'kubernetes' } };
    await expect(policies.put('gold', policy(), '')).rejects.toMatchObject(refused);
    await expect(policies.delete('gold', '', false)).rejects.toMatchObject(refused);
    await policies.delete('gold', '', true);
    expect((await policies.all()).size).toBe(0);
  });

  it('remembers since when a schedule is what it is', async () => {
    const daily = (time: string) => policy({ snapshotSchedule: { daily: { time } } });
    await policies.put('gold', daily('12:00'), '');
    now = new Date('2026-03-02T00:00:00Z');
    await policies.put('gold', { ...daily('12:00'), allowUpdate: true }, '');
    expect((await policies.all()).get('gold')?.scheduleSince).toBe('2026-03-01T00:00:00.000Z');
    await policies.put('gold', daily('13:00'), '');
    expect((await policies.all()).get('gold')?.scheduleSince).toBe('2026-03-02T00:00:00.000Z');
  });

  it('shows in the view of the cluster, and goes from it; a damaged one hides no other', async () => {
    const view = new ClusterView(kvdb, keys, silentLogger);
    await view.fresh();
    await policies.put('gold', policy({ default: true }), 'kubernetes');
    await kvdb.txn([], [{ type: 'put', key: keys.policy('broken'), value: '"?"' }]);
    const { policies: seen } = await view.fresh();
    expect([...seen.keys()]).toEqual(['gold']);
    expect(seen.get('gold')).toMatchObject({ owner: 'kubernetes', policy: { default: true } });
    await policies.delete('gold', 'kubernetes', false);
    expect((await view.fresh()).policies.size).toBe(0);
  });
});
