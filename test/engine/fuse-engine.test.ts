import { runCommand } from '../../src/platform/run-command.js';
import { EngineCluster } from './engine-cluster.js';

jest.setTimeout(150_000);

const sizeBytes = 256 * 1024 * 1024;
const attachOf = (volumeId: string) => ({ volumeId, frontend: 'fuse', readOnly: false }) as const;

function fio(devicePath: string, ...args: string[]): Promise<unknown> {
  return runCommand(
    'fio',
    ['--name=t', '--ioengine=libaio', '--direct=1', `--filename=${devicePath}`, '--bs=4k']
      .concat([
        '--rw=randwrite',
        '--size=128m',
        '--iodepth=32',
        '--verify=crc32c',
        '--verify_state_save=0',
      ])
      .concat(['--verify_fatal=1', '--randseed=7', ...args]),
    { timeoutMs: 120_000 },
  );
}

describe('a volume as a block device, with holders', () => {
  let cluster: EngineCluster;
  beforeAll(async () => {
    cluster = await EngineCluster.start({ nodes: 3, holder: true });
  });
  afterAll(async () => {
    await cluster.dispose();
  });

  const check = (node: number, volumeId: string) =>
    cluster.call(node, 'volume.check', { volumeId });
  const allInSync = async (volumeId: string) =>
    (await cluster.record(volumeId)).replicas.every(({ state }) => state === 'in_sync');

  it('survives kill -9 of its own engine and of a replica under load', async () => {
    await cluster.createVolume('f1', sizeBytes, [0, 1, 2]);
    const { devicePath } = await cluster.call(0, 'volume.attach', attachOf('f1'));
    expect(devicePath).toMatch(/^\/dev\/loop/);
    const load = fio(devicePath, '--rate_iops=3000');
    const writes = async () => {
      const status = await cluster.call(0, 'volume.status', { volumeId: 'f1' });
      return status.stats.writes;
    };
    await cluster.until('writes', async () => (await writes()) > 2000);
    await cluster.killEngine(0);
    await cluster.answers(0);
    await cluster.until('writes again', async () => (await writes().catch(() => 0)) > 2000);
    await cluster.killEngine(1);
    await load;
    await cluster.until('resync', () => allInSync('f1'));
    expect((await check(0, 'f1')).differences).toEqual([]);
    const again = await cluster.call(0, 'volume.attach', attachOf('f1'));
    expect(again.devicePath).toBe(devicePath);
    await cluster.call(0, 'volume.detach', { volumeId: 'f1', force: false });
    await cluster.call(0, 'volume.detach', { volumeId: 'f1', force: false });
    expect((await cluster.record('f1')).attachedOn).toBe('');
  });

  it('is written on one node and read on another, and the first is fenced', async () => {
    await cluster.createVolume('f2', sizeBytes, [1, 2]);
    const first = await cluster.call(0, 'volume.attach', attachOf('f2'));
    await fio(first.devicePath);
    const second = await cluster.call(1, 'volume.attach', attachOf('f2'));
    await fio(second.devicePath, '--verify_only');
    await expect(fio(first.devicePath, '--verify_only')).rejects.toThrow();
    const status = await cluster.call(0, 'volume.status', { volumeId: 'f2' });
    expect(status.phase).toBe('fenced');
    await cluster.call(0, 'volume.detach', { volumeId: 'f2', force: true });
    expect((await cluster.record('f2')).attachedOn).toBe('node1');
    await cluster.call(1, 'volume.detach', { volumeId: 'f2', force: false });
  });

  it('is fenced when it was attached elsewhere while its engine was dead', async () => {
    await cluster.createVolume('f3', sizeBytes, [1, 2]);
    const first = await cluster.call(0, 'volume.attach', attachOf('f3'));
    await fio(first.devicePath, '--size=8m');
    const { pid } = await cluster.call(0, 'engine.status', {});
    process.kill(pid, 'SIGSTOP');
    await cluster.call(1, 'volume.attach', attachOf('f3'));
    process.kill(pid, 'SIGKILL');
    await cluster.answers(0);
    await cluster.until('fenced', async () => {
      const status = await cluster
        .call(0, 'volume.status', { volumeId: 'f3' })
        .catch(() => undefined);
      return status?.phase === 'fenced';
    });
    await expect(fio(first.devicePath, '--verify_only', '--size=8m')).rejects.toThrow();
    await cluster.call(0, 'volume.detach', { volumeId: 'f3', force: true });
    await cluster.call(1, 'volume.detach', { volumeId: 'f3', force: false });
  });

  it('leaves the loop device of another node alone that has a file of the same name', async () => {
    await cluster.createVolume('f5', sizeBytes, [0, 1]);
    const runDir = cluster.runDir(0);
    // Two nodes in containers of one machine have the same paths, each in mounts of its own.
    const script = `mount -t tmpfs none ${runDir} && mkdir ${runDir}/volumes &&
      truncate -s 1M ${runDir}/volumes/f5 && losetup --find --show ${runDir}/volumes/f5`;
    const foreign = await runCommand('unshare', ['-m', 'sh', '-c', script], { timeoutMs: 20_000 });
    const foreignDevice = foreign.stdout.trim();
    try {
      const { devicePath } = await cluster.call(0, 'volume.attach', attachOf('f5'));
      expect(devicePath).not.toBe(foreignDevice);
      const again = await cluster.call(0, 'volume.attach', attachOf('f5'));
      expect(again.devicePath).toBe(devicePath);
      await cluster.call(0, 'volume.detach', { volumeId: 'f5', force: false });
      const list = ['-n', '-O', 'NAME', foreignDevice];
      const left = await runCommand('losetup', list, { timeoutMs: 5_000 });
      expect(left.stdout.trim()).toBe(foreignDevice);
    } finally {
      await runCommand('losetup', ['--detach', foreignDevice], { timeoutMs: 5_000 });
    }
  });

  it('grows while it is attached', async () => {
    await cluster.createVolume('f4', sizeBytes, [0, 1]);
    const { devicePath } = await cluster.call(0, 'volume.attach', attachOf('f4'));
    const record = await cluster.record('f4');
    const grown = 2 * sizeBytes;
    await cluster.put(cluster.keys.volume('f4'), JSON.stringify({ ...record, sizeBytes: grown }));
    await cluster.call(0, 'volume.resize', { volumeId: 'f4', sizeBytes: grown });
    const size = await runCommand('blockdev', ['--getsize64', devicePath], { timeoutMs: 5000 });
    expect(Number(size.stdout)).toBe(grown);
    await fio(devicePath, `--offset=${sizeBytes}`);
    expect((await check(0, 'f4')).differences).toEqual([]);
    await cluster.call(0, 'volume.detach', { volumeId: 'f4', force: false });
  });
});

describe('on a kernel that does not send FUSE requests again', () => {
  it('a killed engine costs no request either', async () => {
    const cluster = await EngineCluster.start({
      ...{ nodes: 2, holder: true, ioThreads: 2, engineArguments: ['--no-resend'] },
    });
    try {
      await cluster.createVolume('g1', sizeBytes, [0, 1]);
      const { devicePath } = await cluster.call(0, 'volume.attach', attachOf('g1'));
      const load = fio(devicePath, '--rate_iops=4000');
      for (let kills = 0; kills < 3; kills++) {
        await cluster.until('writes', async () => {
          const status = await cluster
            .call(0, 'volume.status', { volumeId: 'g1' })
            .catch(() => undefined);
          return (status?.stats.writes ?? 0) > 1500;
        });
        await cluster.killEngine(0);
        await cluster.answers(0);
      }
      await load;
      const check = await cluster.call(0, 'volume.check', { volumeId: 'g1' });
      expect(check.differences).toEqual([]);
      await cluster.call(0, 'volume.detach', { volumeId: 'g1', force: false });
    } finally {
      await cluster.dispose();
    }
  });
});
