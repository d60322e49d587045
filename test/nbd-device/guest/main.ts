import { spawn } from 'node:child_process';
import { existsSync, mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { runCommand } from '../../../src/platform/run-command.js';
import { upCluster, type DevCluster } from '../../../tools/devcluster/cluster.js';
import { waitFor } from '../../../tools/lib/wait.js';
import type { Facts } from '../facts.js';

/**
 * Runs inside a kernel that has nbd: a cluster of two nodes, a volume as
 * /dev/nbdN, and all that happens to it. Writes down what it saw; the test
 * outside judges.
 */
const mebibyte = 1024 * 1024;
const mountPoint = '/run/mnt';
const [, , rootDir = '', factsFile = ''] = process.argv;

function run(file: string, ...args: string[]): Promise<{ stdout: string; exitCode: number }> {
  return runCommand(file, args, { timeoutMs: 60_000 });
}

function sys(device: string, file: string): string {
  return readFileSync(`/sys/block/${device.replace('/dev/', '')}/${file}`, 'utf8').trim();
}

function sectorsOf(device: string): number {
  return Number(sys(device, 'size'));
}

/** Of all connected devices; a number that became free is soon another volume's. */
function backends(): string[] {
  const files = ['nbd0', 'nbd1', 'nbd2', 'nbd3'].map((name) => `/sys/block/${name}/backend`);
  return files.filter((file) => existsSync(file)).map((file) => readFileSync(file, 'utf8'));
}

/** The fifth figure of `stat` counts the writes that were completed. */
function writesOf(device: string): number {
  return Number(sys(device, 'stat').split(/\s+/)[4]);
}

async function killEngineTwiceUnderLoad(cluster: DevCluster, device: string): Promise<number> {
  const fio = spawn(
    'fio',
    ['--name=t', `--directory=${mountPoint}`, '--rw=randwrite', '--bs=16k', '--size=32m']
      .concat(['--ioengine=libaio', '--iodepth=8', '--direct=1', '--rate_iops=200', '--randseed=5'])
      .concat(['--verify=crc32c', '--verify_fatal=1', '--verify_state_save=0', '--do_verify=1']),
    { stdio: 'inherit', cwd: '/run' },
  );
  const ended = new Promise<number>((resolve) => fio.on('exit', (code) => resolve(code ?? -1)));
  for (let kill = 0; kill < 2; kill++) {
    const before = writesOf(device);
    await waitFor('writes', 60_000, () => (writesOf(device) > before + 300 ? true : undefined));
    await cluster.killProcess('n1', 'engine');
  }
  return ended;
}

async function observe(cluster: DevCluster): Promise<Facts> {
  const api = cluster.api('n1');
  const { id } = await api.CreateVolume({
    name: 'v',
    spec: { size_bytes: String(256 * mebibyte), replicas: 2, fs: 'none' },
  });
  const frontend = 'nbd-device';
  const { device_path: device } = await api.AttachVolume({ id_or_name: id, frontend });
  const attachedAgain = (await api.AttachVolume({ id_or_name: id, frontend })).device_path;
  const listed = (await api.GetVolume({ id_or_name: id })).device_path;
  const sectors = sectorsOf(device);
  const backend = sys(device, 'backend');

  await run('mkfs.ext4', '-q', device);
  mkdirSync(mountPoint, { recursive: true });
  await run('mount', device, mountPoint);
  const fioExit = await killEngineTwiceUnderLoad(cluster, device);
  const refusedWhileMounted = await api.DetachVolume({ id_or_name: id }).then(
    () => '',
    (error: unknown) => String(error),
  );
  await api.ResizeVolume({ id_or_name: id, size_bytes: String(320 * mebibyte) });
  const sectorsAfterResize = sectorsOf(device);
  await run('resize2fs', device);
  await run('umount', mountPoint);
  await run('e2fsck', '-fn', device);
  await run('blkdiscard', '--force', '--length', String(64 * mebibyte), device);
  const check = await waitFor('two replicas in sync', 60_000, async () => {
    const found = await api.CheckVolume({ id_or_name: id });
    return found.replicas_compared.length === 2 ? found : undefined;
  });
  await api.DetachVolume({ id_or_name: id });
  const sectorsAfterDetach = sectorsOf(device);

  const again = await api.AttachVolume({ id_or_name: id, frontend, read_only: true });
  const readOnly = sys(again.device_path, 'ro');
  await cluster.killProcess('n1', 'engine');
  const read = ['bs=4k', 'count=1', 'skip=77', 'iflag=direct', 'status=none'];
  const { exitCode } = await run('dd', `if=${again.device_path}`, 'of=/dev/null', ...read);
  await api.DetachVolume({ id_or_name: id });

  await api.AttachVolume({ id_or_name: id, frontend });
  const other = cluster.api('n2');
  const taken = await other.AttachVolume({ id_or_name: id, frontend, force: true });
  const loserGone = await waitFor('the device of the fenced attach to go', 60_000, () =>
    backends().some((name) => name.startsWith('px:/run/px/n1/')) ? undefined : true,
  );
  const takenOverBy = sys(taken.device_path, 'backend');
  await other.DetachVolume({ id_or_name: id });
  return {
    ...{ devicePath: device, attachedAgain, listed, sectors, backend, fioExit },
    ...{ enginesKilled: 3, refusedWhileMounted, sectorsAfterResize, sectorsAfterDetach },
    ...{ equal: check.equal, differences: check.differences.length, readOnly },
    ...{ readAfterIdleKill: exitCode === 0 ? 'read' : 'failed', takenOverBy, loserGone },
    connectedAtEnd: backends().length,
  };
}

const cluster = await upCluster({
  ...{ dir: '/run/px', rootDir, userSpace: true, withoutCsi: true },
  ...{ nodes: 2, zones: 2, frontend: 'nbd' },
});
writeFileSync(factsFile, JSON.stringify(await observe(cluster)));
process.exit(0);
