import { runCommand } from '../../src/platform/run-command.js';
import { EngineCluster } from './engine-cluster.js';

jest.setTimeout(120_000);

const sizeBytes = 256 * 1024 * 1024;

function fio(uri: string, ...args: string[]): Promise<unknown> {
  return runCommand(
    'fio',
    ['--name=t', '--ioengine=nbd', `--uri=${uri}`, '--rw=randwrite', '--bs=4k', '--size=128m']
      .concat([
        '--iodepth=32',
        '--verify=crc32c',
        '--verify_state_save=0',
        '--verify_fatal=1',
        '--randseed=7',
      ])
      .concat(args),
    { timeoutMs: 100_000 },
  );
}

describe('a volume over NBD with replicas on three engines', () => {
  let cluster: EngineCluster;
  beforeAll(async () => {
    cluster = await EngineCluster.start({ nodes: 3, holder: false, ioThreads: 2 });
  });
  afterAll(async () => {
    await cluster.dispose();
  });

  async function differences(volumeId: string): Promise<number> {
    const check = await cluster.call(0, 'volume.check', { volumeId });
    expect(check.bytesCompared).toBeGreaterThan(0);
    return check.differences.length;
  }

  it('writes and verifies, and all replicas are equal', async () => {
    await cluster.createVolume('v1', sizeBytes, [0, 1, 2]);
    const attach = { volumeId: 'v1', frontend: 'nbd', readOnly: false } as const;
    const { nbdUri, epoch } = await cluster.call(0, 'volume.attach', attach);
    expect(epoch).toBe(1);
    expect((await cluster.call(0, 'volume.attach', attach)).epoch).toBe(1);
    await fio(nbdUri);
    expect(await differences('v1')).toBe(0);
    const status = await cluster.call(0, 'volume.status', { volumeId: 'v1' });
    expect(status.replicas.map(({ state }) => state)).toEqual(['in_sync', 'in_sync', 'in_sync']);
  });

  it('goes on when a replica is killed, and resyncs it', async () => {
    await cluster.createVolume('v2', sizeBytes, [0, 1, 2]);
    const attach = { volumeId: 'v2', frontend: 'nbd', readOnly: false } as const;
    const { nbdUri } = await cluster.call(0, 'volume.attach', attach);
    const load = fio(nbdUri, '--rate_iops=4000');
    await cluster.until('writes', async () => {
      return (await cluster.call(0, 'volume.status', { volumeId: 'v2' })).stats.writes > 2000;
    });
    await cluster.killEngine(1);
    await load;
    const states = (await cluster.record('v2')).replicas.map(({ state }) => state);
    expect(states).toEqual(['in_sync', 'out', 'in_sync']);
    cluster.startNode(1);
    await cluster.answers(1);
    await cluster.until('resync', async () => {
      return (await cluster.record('v2')).replicas.every(({ state }) => state === 'in_sync');
    });
    expect(await differences('v2')).toBe(0);
  });

  it('moves to another node after its engine was killed, with every byte', async () => {
    await cluster.createVolume('v3', sizeBytes, [0, 1]);
    const first = await cluster.call(0, 'volume.attach', {
      ...{ volumeId: 'v3', frontend: 'nbd', readOnly: false },
    });
    await fio(first.nbdUri);
    await cluster.killEngine(0);
    const started = Date.now();
    const second = await cluster.call(2, 'volume.attach', {
      ...{ volumeId: 'v3', frontend: 'nbd', readOnly: false },
    });
    expect(Date.now() - started).toBeLessThan(15_000);
    expect(second.epoch).toBe(2);
    await fio(second.nbdUri, '--verify_only');
    cluster.startNode(0);
    await cluster.answers(0);
    await cluster.until('resync', async () => {
      return (await cluster.record('v3')).replicas.every(({ state }) => state === 'in_sync');
    });
    const check = await cluster.call(2, 'volume.check', { volumeId: 'v3' });
    expect(check.differences).toEqual([]);
    await cluster.call(2, 'volume.detach', { volumeId: 'v3', force: false });
    expect((await cluster.record('v3')).attachedOn).toBe('');
  });

  it('copies every replica at one moment', async () => {
    await cluster.createVolume('v4', sizeBytes, [0, 1]);
    const { nbdUri } = await cluster.call(0, 'volume.attach', {
      ...{ volumeId: 'v4', frontend: 'nbd', readOnly: false },
    });
    await fio(nbdUri);
    const replicas = { 'v4-r0': 'v5-r0', 'v4-r1': 'v5-r1' };
    const { copied } = await cluster.call(0, 'volume.copy', {
      ...{ volumeId: 'v4', targetVolumeId: 'v5', replicas },
    });
    expect([...copied].sort()).toEqual(['v4-r0', 'v4-r1']);
    const record = await cluster.record('v4');
    const copy = {
      ...{ ...record, id: 'v5', name: 'v5', epoch: 0, attachedOn: '', attachToken: '' },
      replicas: record.replicas.map((replica) => ({
        ...replica,
        id: replica.id.replace('v4', 'v5'),
      })),
    };
    await cluster.put(cluster.keys.volume('v5'), JSON.stringify(copy));
    const snapshot = await cluster.call(1, 'volume.attach', {
      ...{ volumeId: 'v5', frontend: 'nbd', readOnly: true },
    });
    await fio(snapshot.nbdUri, '--verify_only');
  });

  it('is served again by the next engine of its node', async () => {
    await cluster.createVolume('v6', sizeBytes, [0, 1]);
    const attach = { volumeId: 'v6', frontend: 'nbd', readOnly: false } as const;
    const { nbdUri } = await cluster.call(0, 'volume.attach', attach);
    await fio(nbdUri, '--size=16m');
    await cluster.killEngine(0);
    cluster.startNode(0);
    await cluster.answers(0);
    await cluster.until('serving', async () => {
      const status = await cluster
        .call(0, 'volume.status', { volumeId: 'v6' })
        .catch(() => undefined);
      return status?.phase === 'serving' && status.frontend === 'nbd';
    });
    await fio(nbdUri, '--size=16m', '--verify_only');
    await cluster.call(0, 'volume.detach', { volumeId: 'v6', force: false });
  });
});
