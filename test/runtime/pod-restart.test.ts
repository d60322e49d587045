import { createHash } from 'node:crypto';
import {
  cpSync,
  existsSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  readlinkSync,
  renameSync,
  rmSync,
  statSync,
  symlinkSync,
  writeFileSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { connectNode, type NodeApi } from '../../src/platform/grpc-client.js';
import { freePort, reservePorts } from '../../src/platform/testing-ports.js';
import { writeIdentity } from '../../src/dataplane/store/directory-identity.js';
import { waitFor } from '../../tools/lib/wait.js';
import { command, LoopDevices, mebibyte } from '../pool/loop-device.js';
import { Mirror, type MirrorWriter } from '../support/mirror.js';
import { describeInContainers } from '../support/needs.js';
import { commandLine, ContainerHost, namespaceOf, Pod, removeCgroup } from './container-host.js';

/**
 * px-node as the privileged container of a pod. The pod is killed, stopped,
 * updated and started again under I/O: the block path must not notice, and the
 * writes are checked against a mirror.
 */
jest.setTimeout(120_000);

const repository = process.cwd();
const nodeName = 'worker-1';

describeInContainers('px-node in a pod', () => {
  let directory: string;
  let host: ContainerHost;
  let disks: LoopDevices;
  let pool: string;
  /** A device of another cluster, which the configuration names as well. */
  let stranger: string;
  let api: NodeApi;
  let writer: MirrorWriter | undefined;
  let startPort: number;
  let health: number;
  const pods: Pod[] = [];
  const mirror = new Mirror(8 * mebibyte);
  const inside = (...parts: string[]) => path.join(directory, ...parts);

  beforeAll(async () => {
    [startPort, health] = [await reservePorts(), await freePort()];
    directory = mkdtempSync(path.join(tmpdir(), 'px-pod-'));
    for (const name of ['lib', 'run', 'etc', 'bundles']) mkdirSync(inside(name));
    disks = new LoopDevices();
    pool = disks.create(1024 * mebibyte);
    stranger = disks.create(512 * mebibyte);
    makePoolOf('another', stranger);
    host = await ContainerHost.start();
    api = connectNode(inside('run/px-node.sock'), {
      timeoutMs: 30_000,
      protoDir: path.resolve('proto'),
    });
  });
  afterAll(async () => {
    await writer?.kill();
    for (const pod of pods) await pod.kill();
    api.close();
    // What a failed test left attached lives on in the kernel.
    for (const device of attachedBelow(inside('run'))) command('losetup', '--detach', device);
    await host.end();
    await removeCgroup(`px-runtime-test-${process.pid}`);
    disks.remove();
    rmSync(directory, { recursive: true, force: true });
  });

  function newPod(args: readonly string[], root = repository, changes: object = {}): Pod {
    const main = path.join(root, 'dist/src/dataplane/node/main.js');
    const pod = new Pod({
      ...{ host, directory: inside('bundles'), name: `pod-${pods.length + 1}` },
      hostPaths: ['lib', 'run', 'etc'].map((name) => inside(name)),
      args: [process.execPath, main, ...args],
      ...changes,
    });
    pods.push(pod);
    return pod;
  }

  const configArgs = () => ['--config-dir', inside('etc'), '--node-name', nodeName];
  const runArgs = () => [
    ...configArgs(),
    ...['--host-runtime-dir', inside('lib/runtime'), '--health-address', `127.0.0.1:${health}`],
  ];

  async function startPod(root?: string): Promise<Pod> {
    const pod = newPod(runArgs(), root);
    await pod.start();
    return pod;
  }

  async function operational(pod: Pod): Promise<string> {
    try {
      return await waitFor('an operational node', 60_000, async () => {
        const status = await api.GetStatus({}, { timeoutMs: 2_000 });
        return status.state === 'operational' ? status.id : undefined;
      });
    } catch (error) {
      throw new Error(`${(error as Error).message}\n${pod.log().slice(-4_000)}\n${holderLog()}`, {
        cause: error,
      });
    }
  }

  function holderLog(): string {
    const file = inside('run/holder.log');
    return existsSync(file) ? readFileSync(file, 'utf8').slice(-4_000) : 'no holder.log';
  }

  /** As the kubelet writes a ConfigMap's volume. */
  function putConfig(text: string): void {
    const version = `..${Date.now()}`;
    mkdirSync(inside('etc', version));
    writeFileSync(inside('etc', version, `${nodeName}.json`), text);
    symlinkSync(version, inside('etc/..data_tmp'));
    renameSync(inside('etc/..data_tmp'), inside('etc/..data'));
    symlinkSync(`..data/${nodeName}.json`, inside(`etc/${nodeName}.json`));
  }

  async function probe(name: string): Promise<string> {
    const answer = await fetch(`http://127.0.0.1:${health}/${name}`);
    return `${answer.status} ${(await answer.text()).trim()}`;
  }

  const holderPid = () => host.processId('holder/main.js', inside('run'));
  const enginePid = async () => {
    const pid = await waitFor('an engine', 20_000, async () => {
      const children = readFileSync(
        `/proc/${await holderPid()}/task/${await holderPid()}/children`,
      );
      return Number(children.toString().trim().split(' ')[0]) || undefined;
    });
    return pid;
  };

  const configText = () =>
    JSON.stringify({
      clusterid: 'pods',
      mgtiface: '127.0.0.1',
      kvdb: 'internal',
      storage: { devices: [pool, stranger] },
      dataDir: inside('lib'),
      runDir: inside('run'),
      startPort,
    });

  let nodeId: string;
  let device: string;

  it('waits for its configuration, alive but not ready', async () => {
    const pod = await startPod();
    await waitFor('health', 20_000, async () => (await probe('healthz')) === '200 ok' || undefined);
    expect(await probe('readyz')).toBe('503 px-node waits for its configuration');
    await waitFor('the log line', 10_000, () =>
      pod.log().includes(`waiting for ${nodeName}.json to appear in`) ? true : undefined,
    );
    putConfig(configText());
    nodeId = await operational(pod);
    expect(await probe('readyz')).toBe('200 ok');
    const status = await api.GetStatus({});
    expect(status.name).toBe(nodeName);
    expect(status.config_hash).toBe(createHash('sha256').update(configText()).digest('hex'));
    expect(readdirSync(inside('lib/runtime'))).toEqual([status.engine_version]);
  });

  it.each([
    ['the host’s PID namespace', { ownPids: true }, 'set hostPID: true'],
    ['mounts that reach the host', { privateMounts: true }, 'set mountPropagation: Bidirectional'],
  ])('refuses a container without %s, and says what to change', async (_, lacks, advice) => {
    mkdirSync(inside('lacking'), { recursive: true });
    const lacking = { runDir: inside('lacking/run'), dataDir: inside('lacking/lib') };
    for (const directory of Object.values(lacking)) mkdirSync(directory, { recursive: true });
    const config = {
      ...(JSON.parse(configText()) as object),
      ...lacking,
      startPort: await reservePorts(),
    };
    writeFileSync(inside('lacking/config.json'), JSON.stringify({ ...config, storage: {} }));
    const args = ['--host-runtime-dir', inside('lacking/lib/runtime')];
    const changes = { ...lacks, hostPaths: [inside('lacking')] };
    const pod = newPod(['--config', inside('lacking/config.json'), ...args], repository, changes);
    const { code, log } = await pod.complete();
    expect(log).toContain(advice);
    expect(code).toBe(1);
    expect(existsSync(inside('lacking/run/holder.sock'))).toBe(false);
  });

  it('starts holder and engine outside of everything that ends with the pod', async () => {
    const overlay = deviceOf(`/proc/${pods[0]?.processes()[0]}/root`);
    for (const pid of [await holderPid(), await enginePid()]) {
      expect(pods[0]?.processes()).not.toContain(pid);
      for (const line of readFileSync(`/proc/${pid}/cgroup`, 'utf8').trim().split('\n')) {
        expect(line).toMatch(/:\/px-holder$/);
      }
      for (const name of ['mnt', 'ipc', 'uts', 'cgroup', 'net', 'pid']) {
        expect(namespaceOf(pid, name)).toBe(namespaceOf(host.initPid, name));
      }
      expect(readlinkSync(`/proc/${pid}/cwd`)).toBe('/');
      expect(deviceOf(`/proc/${pid}/exe`)).not.toBe(overlay);
      // Mapped files are named with the device of their file system.
      expect(readFileSync(`/proc/${pid}/maps`, 'utf8')).not.toContain(` ${hexDevice(overlay)} `);
      for (const fd of readdirSync(`/proc/${pid}/fd`)) {
        expect(deviceOf(`/proc/${pid}/fd/${fd}`)).not.toBe(overlay);
      }
      expect(readFileSync(`/proc/${pid}/environ`, 'utf8')).not.toContain('KUBERNETES');
    }
    // A session of its own: field 6 of /proc/PID/stat, see proc(5).
    const session = readFileSync(`/proc/${await holderPid()}/stat`, 'utf8').split(' ')[5];
    expect(session).not.toBe(sessionOf(pods[0]?.processes()[0] ?? 0));
  });

  it('keeps doing I/O while its pod is killed, and the next pod takes the block path over', async () => {
    await api.CreateVolume({ name: 'v', spec: { size_bytes: 64 * mebibyte } });
    device = (await api.AttachVolume({ id_or_name: 'v', frontend: 'fuse' })).device_path;
    writer = mirror.startWriter({ layout: { tag: 'px-pod' } }, 'n', device, 1);
    await writer.progress(200);
    const before = [await holderPid(), await enginePid()];
    await pods[0]?.kill();
    await writer.progress(500);
    const pod = await startPod();
    expect(await operational(pod)).toBe(nodeId);
    await writer.progress(200);
    expect([await holderPid(), await enginePid()]).toEqual(before);
    // Of the internal kvdb there is one on its data, and it is a new one: the last was the pod's.
    const etcd = await host.processId(`--data-dir=${inside('lib/etcd')}`);
    expect(pod.processes()).toContain(etcd);
  });

  it('ends fast on SIGTERM, its etcd cleanly, and comes back', async () => {
    const tookMs = await pods.at(-1)?.stop();
    expect(tookMs).toBeLessThan(10_000);
    expect(readFileSync(inside('lib/etcd.log'), 'utf8')).toContain(
      'received signal; shutting down',
    );
    await writer?.progress(200);
    const pod = await startPod();
    expect(await operational(pod)).toBe(nodeId);
    expect((await api.GetVolume({ id_or_name: 'v' })).state).toBe('attached');
  });

  it('a newer version replaces the engine under I/O, and the holder stays', async () => {
    const root = newerVersion();
    const [oldHolder, oldEngine] = [await holderPid(), await enginePid()];
    const { engine_version: oldVersion } = await api.GetStatus({});
    await pods.at(-1)?.stop();
    const pod = await startPod(root);
    expect(await operational(pod)).toBe(nodeId);
    await writer?.progress(300);
    expect(await holderPid()).toBe(oldHolder);
    expect(await enginePid()).not.toBe(oldEngine);
    const { engine_version: newVersion } = await api.GetStatus({});
    expect(newVersion).not.toBe(oldVersion);
    expect(readFileSync(`/proc/${await enginePid()}/cmdline`, 'utf8')).toContain(newVersion);
    // The holder still runs from the old one.
    expect(readdirSync(inside('lib/runtime')).sort()).toEqual([oldVersion, newVersion].sort());
    await writer?.stop();
    writer = undefined;
    await mirror.verify(device);
  });

  it('is not wiped while a volume is attached, and the refusal names it', async () => {
    const { id } = await api.GetVolume({ id_or_name: 'v' });
    const { code, log } = await newPod(['wipe', ...configArgs(), '--yes']).complete();
    expect(log).toContain(`still attached on this node: volume ${id} (${device})`);
    expect(code).toBe(1);
    expect((await api.GetStatus({})).state).toBe('operational');
    await mirror.verify(device);
  });

  it('wipes this node, its devices and nothing else, and can be repeated', async () => {
    await api.DetachVolume({ id_or_name: 'v' });
    await pods.find((pod) => pod.processes().length > 0)?.stop();
    const pids = [await holderPid(), await enginePid()];
    for (const repetition of [1, 2]) {
      const wipe = newPod(['wipe', ...configArgs(), '--yes', '--devices']);
      expect(await wipe.complete()).toMatchObject({ code: 0 });
      expect(wipe.log().includes('a device was wiped')).toBe(repetition === 1);
    }
    for (const pid of pids) expect(commandLine(pid)).toBe('');
    expect(readdirSync(inside('lib'))).toEqual([]);
    expect(readdirSync(inside('run'))).toEqual([]);
    expect(typeOf(pool)).toBe('');
    expect(typeOf(stranger)).toBe('xfs px-pool');
    const mounts = await host.run(['cat', '/proc/self/mountinfo']);
    expect(mounts.stdout).not.toContain(inside('lib'));
  });

  /** The same programs with one other byte. */
  function newerVersion(): string {
    const root = inside('etc/newer');
    mkdirSync(path.join(root, 'dist'), { recursive: true });
    cpSync(path.join(repository, 'dist/src'), path.join(root, 'dist/src'), { recursive: true });
    cpSync(path.join(repository, 'proto'), path.join(root, 'proto'), { recursive: true });
    cpSync(path.join(repository, 'package.json'), path.join(root, 'package.json'));
    symlinkSync(path.join(repository, 'node_modules'), path.join(root, 'node_modules'));
    writeFileSync(path.join(root, 'dist/src/kernel/errors.js.LICENSE'), 'newer\n');
    return root;
  }
});

function makePoolOf(clusterId: string, device: string): void {
  command('mkfs.xfs', '-q', '-L', 'px-pool', device);
  const directory = mkdtempSync(path.join(tmpdir(), 'px-stranger-'));
  command('mount', device, directory);
  const [nodeId, deviceId, poolId] = ['n', 'd', 'p'];
  writeIdentity(directory, {
    ...{ formatVersion: 1, clusterId, nodeId, deviceId, poolId, class: 'low' },
  });
  command('umount', directory);
  rmSync(directory, { recursive: true });
}

/** What blkid finds on the device, '' for nothing. */
function typeOf(device: string): string {
  try {
    const tags = ['--match-tag', 'TYPE', '--match-tag', 'LABEL'];
    return command('blkid', '--probe', ...tags, '--output', 'value', device)
      .split('\n')
      .sort()
      .reverse()
      .join(' ');
  } catch (error) {
    if ((error as { status?: number }).status === 2) return '';
    throw error;
  }
}

function attachedBelow(runDir: string): string[] {
  const listed = command('losetup', '--list', '--noheadings', '--output', 'NAME,BACK-FILE');
  return listed
    .split('\n')
    .map((line) => line.trim().split(/\s+/))
    .filter(([, file]) => file?.startsWith(`${runDir}/`))
    .map(([name = '']) => name);
}

function deviceOf(file: string): bigint {
  try {
    return statSync(file, { bigint: true }).dev;
  } catch {
    // A descriptor that was closed in between.
    return -1n;
  }
}

/** `major:minor` as /proc/PID/maps writes it. */
function hexDevice(device: bigint): string {
  const [major, minor] = [(device >> 8n) & 0xfffn, (device & 0xffn) | ((device >> 12n) & 0xfff00n)];
  return [major, minor].map((part) => part.toString(16).padStart(2, '0')).join(':');
}

function sessionOf(pid: number): string | undefined {
  return readFileSync(`/proc/${pid}/stat`, 'utf8').split(' ')[5];
}
