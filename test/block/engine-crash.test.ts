import { readFileSync, readdirSync, readlinkSync } from 'node:fs';
import { BlockBench, sh } from '../support/block-bench.js';
import { monotonicMs } from '../../src/platform/monotonic.js';

jest.setTimeout(180_000);

let bench: BlockBench;

const pause = (ms: number): Promise<void> => new Promise((resolve) => setTimeout(resolve, ms));

async function nextEngine(previousPid: number): Promise<number> {
  const deadline = monotonicMs() + 10_000;
  for (;;) {
    const { enginePid } = await bench.holder.ping();
    if (enginePid !== 0 && enginePid !== previousPid) return enginePid;
    if (monotonicMs() > deadline) throw new Error('no new engine');
    await pause(10);
  }
}

function load(device: string, seconds: number): Promise<string> {
  return sh('fio', [
    ...['--name=crash', `--filename=${device}`, '--rw=randrw', '--direct=1', '--bsrange=4k-128k'],
    ...[
      '--ioengine=libaio',
      '--iodepth=32',
      '--verify=crc32c',
      '--verify_state_save=0',
      '--verify_fatal=1',
    ],
    ...['--size=128m', '--time_based', `--runtime=${seconds}`, '--verify_backlog=256'],
    ...['--fdatasync=64', '--bs_unaligned=0', '--blockalign=4k'],
  ]);
}

describe.each(['with a kernel that resends', 'with a kernel before 6.9'])('%s', (kernel) => {
  beforeAll(async () => {
    bench = await BlockBench.start({ oldKernel: kernel.includes('before') });
  });
  afterAll(async () => {
    await bench[Symbol.asyncDispose]();
  });

  test('five kills of the engine under a verified load give no error', async () => {
    const device = await bench.attach('crash');
    const running = load(device, 10);
    let { enginePid } = await bench.holder.ping();
    const killed = new Set<number>();
    for (let round = 0; round < 5; round++) {
      await pause(1_200);
      killed.add(enginePid);
      process.kill(enginePid, 'SIGKILL');
      enginePid = await nextEngine(enginePid);
    }
    await running;
    expect(killed.size).toBe(5);
    expect((await bench.holder.ping()).engineStarts).toBeGreaterThanOrEqual(6);
  });

  test('an upgrade of the engine under load gives no error', async () => {
    const device = await bench.attach('upgrade');
    const running = load(device, 4);
    const { enginePid } = await bench.holder.ping();
    await pause(1_000);
    await bench.holder.call('engine.restart', {});
    expect(await nextEngine(enginePid)).not.toBe(enginePid);
    await running;
  });

  test('the holder can be killed too: the next one takes over from the living engine', async () => {
    const device = await bench.attach('orphan');
    const running = load(device, 6);
    const before = await bench.holder.ping();
    await pause(1_000);
    process.kill(before.pid, 'SIGKILL');
    await bench.ensure();
    const after = await bench.holder.ping();
    expect(after.pid).not.toBe(before.pid);
    expect(after.enginePid).toBe(before.enginePid);
    await pause(500);
    process.kill(after.enginePid, 'SIGKILL');
    await nextEngine(after.enginePid);
    await running;
    const { volumes } = await bench.holder.call('volume.list', {});
    expect(volumes.find(({ volumeId }) => volumeId === 'orphan')?.devicePath).toBe(device);
  });

  test('holder and engine killed at once leave nothing behind after the next start', async () => {
    await bench.attach('lost');
    const { pid, enginePid } = await bench.holder.ping();
    process.kill(pid, 'SIGKILL');
    process.kill(enginePid, 'SIGKILL');
    await bench.ensure();
    const { volumes } = await bench.holder.call('volume.list', {});
    expect(volumes).toEqual([]);
    expect(readFileSync('/proc/self/mountinfo', 'utf8')).not.toContain(bench.runDir);
    const backing = readdirSync('/sys/block')
      .filter((name) => name.startsWith('loop'))
      .map((name) => {
        try {
          return readFileSync(`/sys/block/${name}/loop/backing_file`, 'utf8');
        } catch {
          return '';
        }
      });
    expect(backing.join()).not.toContain(bench.runDir);
    const device = await bench.attach('lost');
    await load(device, 1);
  });

  test('a second holder of the same directory ends, and the engine holds no lock of it', async () => {
    const { pid, enginePid } = await bench.holder.ping();
    const links = readdirSync(`/proc/${enginePid}/fd`).map((fd) => {
      try {
        return readlinkSync(`/proc/${enginePid}/fd/${fd}`);
      } catch {
        return '';
      }
    });
    expect(links.join()).not.toContain('holder.lock');
    await expect(
      sh(process.execPath, ['dist/src/dataplane/holder/main.js', '--run-dir', bench.runDir, 'x']),
    ).rejects.toThrow();
    expect((await bench.holder.ping()).pid).toBe(pid);
  });
});
