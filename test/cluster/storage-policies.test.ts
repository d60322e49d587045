import type { VolumeSpec } from '../../src/gen/px/v1/VolumeSpec.js';
import type { StoragePolicyStatus__Output } from '../../src/gen/px/v1/StoragePolicyStatus.js';
import type { DevCluster } from '../../tools/devcluster/cluster.js';
import { runFio, type FioResult } from '../../tools/lib/fio.js';
import { waitFor } from '../../tools/lib/wait.js';
import { restore, startCluster } from '../support/clusters.js';
import { describeOnCluster } from '../support/needs.js';
import { createAttached, detachAndDelete, healedAndEqual, miB } from '../support/volumes.js';

describeOnCluster('storage policies, schedules and limits on three nodes', () => {
  let cluster: DevCluster;

  beforeAll(async () => {
    cluster = await startCluster();
  }, 120_000);

  afterEach(async () => {
    const { policies } = await cluster.api('n1').ListStoragePolicies({});
    for (const { name } of policies) {
      await cluster.api('n1').DeleteStoragePolicy({ name, force: true });
    }
    await restore(cluster);
  }, 120_000);

  afterAll(() => cluster.down(), 60_000);

  const put = (name: string, policy: object) =>
    cluster.api('n1').PutStoragePolicy({ name, policy_json: JSON.stringify(policy) });
  const create = (node: string, name: string, spec: VolumeSpec = {}) =>
    cluster.api(node).CreateVolume({ name, spec: { size_bytes: 64 * miB, fs: 'none', ...spec } });
  const statusOf = async (name: string): Promise<StoragePolicyStatus__Output> => {
    const { policies } = await cluster.api('n2').ListStoragePolicies({});
    const found = policies.find((policy) => policy.name === name);
    if (found === undefined) throw new Error(`there is no policy ${name}`);
    return found;
  };

  test('a request becomes what the policy makes of it, and stays the same request', async () => {
    await put('gold', {
      default: true,
      volume: {
        replication: { value: 2, operator: 'Minimum' },
        sizeBytes: { value: 128 * miB, operator: 'Minimum' },
        labels: { tier: 'gold' },
      },
    });
    const asked = { replicas: 1, labels: { app: 'x' } };
    const made = await create('n1', 'coerced', asked);
    expect(made.spec).toMatchObject({ replicas: 2, size_bytes: String(128 * miB) });
    expect(made.replicas).toHaveLength(2);
    expect(made.spec?.labels).toMatchObject({ app: 'x', tier: 'gold' });
    // From every node, also when the policy is another one by now.
    expect((await create('n2', 'coerced', asked)).id).toBe(made.id);
    await put('gold', { default: true, volume: { replication: { value: 3 } } });
    expect((await create('n3', 'coerced', asked)).id).toBe(made.id);
    await expect(create('n1', 'coerced', { replicas: 3 })).rejects.toMatchObject({
      code: 'already_exists',
    });
    expect(await statusOf('gold')).toMatchObject({
      governed: 1,
      is_default: true,
      violations: [{ volume_name: 'coerced', rule: 'volume.replication' }],
    });
    await cluster.api('n1').DeleteVolume({ id_or_name: 'coerced' });
  }, 60_000);

  test('Reject names field and rule; names and second defaults are checked', async () => {
    await put('strict', {
      enforcement: 'Reject',
      volume: {
        replication: { value: 2, operator: 'Minimum' },
        sizeBytes: { value: 128 * miB, operator: 'Maximum' },
      },
    });
    const strict = { storage_policy: 'strict' };
    await expect(create('n1', 'r', { ...strict, replicas: 1 })).rejects.toThrow(
      /replicas: storage policy "strict" \(volume\.replication\): must be at least 2, and is 1/,
    );
    await expect(create('n1', 'r', { storage_policy: 'steel' })).rejects.toThrow(
      /no storage policy "steel"; there are strict/,
    );
    const made = await create('n2', 'r', strict);
    expect(made.spec).toMatchObject({ replicas: 2, storage_policy: 'strict' });
    const api = cluster.api('n3');
    await expect(api.ResizeVolume({ id_or_name: 'r', size_bytes: 256 * miB })).rejects.toThrow(
      /size_bytes: .*at most/,
    );
    await expect(api.UpdateReplicas({ id_or_name: 'r', count: 1 })).rejects.toThrow(
      /count: .*volume\.replication/,
    );
    await api.ResizeVolume({ id_or_name: 'r', size_bytes: 128 * miB });
    await put('first', { default: true });
    await expect(put('second', { default: true })).rejects.toThrow(/"first" is the default/);
    await api.DeleteVolume({ id_or_name: 'r' });
  }, 60_000);

  test('replicas lie where the policy wants them, beside or apart from other volumes', async () => {
    const node2 = { key: 'node', operator: 'In', values: ['n2'] };
    const db = { key: 'app', operator: 'In', values: ['db'] };
    await put('on-n2', {
      placement: { replicaAffinity: [{ enforcement: 'required', matchExpressions: [node2] }] },
    });
    await put('apart', {
      placement: { volumeAntiAffinity: [{ enforcement: 'required', matchExpressions: [db] }] },
    });
    const first = await create('n1', 'db', { storage_policy: 'on-n2', labels: { app: 'db' } });
    expect(first.replicas.map(({ node_name }) => node_name)).toEqual(['n2']);
    const second = await create('n1', 'web', { storage_policy: 'apart', replicas: 2 });
    expect(second.replicas.map(({ node_name }) => node_name).sort()).toEqual(['n1', 'n3']);
    await expect(
      create('n1', 'wide', { storage_policy: 'apart', replicas: 3 }),
    ).rejects.toMatchObject({ code: 'resource_exhausted' });
    for (const name of ['db', 'web']) await cluster.api('n1').DeleteVolume({ id_or_name: name });
  }, 60_000);

  test('a change is brought to living volumes, under I/O, and its progress is told', async () => {
    await put('grow', { default: true, allowUpdate: true });
    const volume = await createAttached(cluster, 1, 64 * miB);
    const [attachedOn = ''] = volume.replicaNodes;
    const others = await Promise.all(['a', 'b', 'c'].map((name) => create('n1', name)));
    const load = runFio({
      ...{ filename: volume.device, size: '32M', rw: 'randwrite', bs: '16k', direct: 1 },
      ...{ ioengine: 'libaio', iodepth: 4, verify: 'crc32c', verify_fatal: 1, rate: '4m' },
    });
    const status = await cluster.api('n1').PutStoragePolicy({
      name: 'grow',
      policy_json: JSON.stringify({
        default: true,
        allowUpdate: true,
        volume: { replication: { value: 2, operator: 'Minimum' }, labels: { moved: 'yes' } },
      }),
    });
    expect(status.governed).toBe(4);
    expect(status.changing + status.waiting).toBe(4);
    expect(status.changing).toBeLessThanOrEqual(2);
    await waitFor('all volumes as the policy wants them', 90_000, async () => {
      const { changing, waiting, violations } = await statusOf('grow');
      expect(changing).toBeLessThanOrEqual(2);
      return changing + waiting + violations.length === 0 ? true : undefined;
    });
    expect((await load).error).toBe(0);
    await healedAndEqual(cluster, attachedOn, volume.id, 2);
    const after = await cluster.api('n1').GetVolume({ id_or_name: volume.id });
    expect(after.spec?.labels).toMatchObject({ moved: 'yes' });
    await detachAndDelete(cluster, volume.id, attachedOn);
    for (const { id } of others) await cluster.api('n1').DeleteVolume({ id_or_name: id });
  }, 180_000);

  test('a scheduled snapshot is taken when its time comes, once', async () => {
    const made = await create('n1', 'scheduled', { snapshot_schedule: 'periodic=1,1' });
    const taken = async () =>
      (await cluster.api('n2').ListVolumes({ only_snapshots: true, parent_id: made.id })).volumes;
    const [snapshot] = await waitFor('a scheduled snapshot', 90_000, async () => {
      const snapshots = await taken();
      return snapshots.some(({ status }) => status === 'up') ? snapshots : undefined;
    });
    expect(snapshot?.name).toMatch(/^scheduled-[0-9a-f]{8}-periodic-\d{8}T\d{6}Z$/);
    expect(snapshot?.spec?.labels).toMatchObject({ 'px.io/snapshot-schedule': 'periodic' });
    await cluster.api('n1').UpdateVolume({ id_or_name: made.id, snapshot_schedule: '' });
    expect((await taken()).length).toBe(1);
    await cluster.api('n1').DeleteVolume({ id_or_name: snapshot?.id ?? '' });
    await cluster.api('n1').DeleteVolume({ id_or_name: made.id });
  }, 120_000);

  test('limits hold, change while requests wait, and end', async () => {
    const volume = await createAttached(cluster, 1, 256 * miB);
    const [attachedOn = '', elsewhere = 'n3'] = [...volume.replicaNodes, 'n3'];
    const limit = (limits: object) =>
      cluster.api(elsewhere).UpdateVolume({ id_or_name: volume.id, ...limits });
    const fio = (rw: string, more: object = {}): Promise<FioResult> =>
      runFio({
        ...{ filename: volume.device, rw, bs: '4k', direct: 1, ioengine: 'libaio' },
        ...{ iodepth: 16, size: '128M', time_based: 1, runtime: 6, ...more },
      });
    const within = (value: number, wanted: number): void => {
      expect(value).toBeGreaterThan(wanted * 0.85);
      expect(value).toBeLessThan(wanted * 1.15);
    };
    const applied = (field: 'max_write_iops', value: string) =>
      waitFor('the limit in the record', 10_000, async () => {
        const { spec } = await cluster.api(attachedOn).GetVolume({ id_or_name: volume.id });
        return spec?.[field] === value ? true : undefined;
      });
    await expect(limit({ max_read_iops: 100, max_read_bytes_per_second: miB })).rejects.toThrow(
      /max_read_iops: .*together/,
    );
    const free = await fio('randwrite', { runtime: 2 });
    expect(free.write.iops).toBeGreaterThan(600);
    await limit({ max_write_iops: 200, max_read_bytes_per_second: miB });
    await applied('max_write_iops', '200');
    within((await fio('randwrite')).write.iops, 200);
    within((await fio('randread', { bs: '64k', iodepth: 4 })).read.bytesPerSecond, miB);
    // Lifted in the middle of a run that would take minutes at that pace.
    await limit({ max_write_iops: 10 });
    const slow = fio('randwrite', { time_based: 0, runtime: 0, size: '16M' });
    await limit({ max_write_iops: 0, max_read_bytes_per_second: 0 });
    const lifted = await slow;
    expect(lifted.runtimeMs).toBeLessThan(60_000);
    expect(lifted.write.bytes).toBe(16 * miB);
    await detachAndDelete(cluster, volume.id, attachedOn);
  }, 180_000);
});
