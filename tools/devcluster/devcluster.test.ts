import { mkdir, mkdtemp, readFile, stat, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { startTimeOf } from '../../src/dataplane/sys/process-table.js';
import { run, tryRun } from '../lib/run.js';
import { waitFor } from '../lib/wait.js';
import { clusterLeftovers, DevCluster, defaultOptions, downCluster } from './cluster.js';
import { attachDisks, makeDiskFiles, parseSizeBytes } from './devices.js';
import { etcdctl, startEtcd } from './etcd.js';
import { parseMountInfo } from './kernel-state.js';
import { clusterLayout, nodeLayout } from './layout.js';
import { makeHub, makeNodeNetwork } from './network.js';
import { clusterProcesses, kindOf, killAll, spawnDetached } from './processes.js';
import { sweep } from './sweep.js';

describe('names and parsing', () => {
  test('two directories never share a namespace, an address range or an etcd', () => {
    const first = clusterLayout('/tmp/a', false);
    const second = clusterLayout('/tmp/b', false);
    expect(first.hubNamespace).not.toBe(second.hubNamespace);
    expect(first.hubAddress).not.toBe(second.hubAddress);
    // Linux cuts interface names at 15 characters.
    expect(nodeLayout(first, 99, 3).veth.length).toBeLessThanOrEqual(15);
  });

  test('zones go round', () => {
    const cluster = clusterLayout('/tmp/a', false);
    const zones = [1, 2, 3, 4].map((index) => nodeLayout(cluster, index, 3).zone);
    expect(zones).toEqual(['zone-1', 'zone-2', 'zone-3', 'zone-1']);
  });

  test('a directory too long for unix sockets is refused', () => {
    expect(() => clusterLayout(`/tmp/${'x'.repeat(80)}`, false)).toThrow(/too long/);
  });

  test('sizes', () => {
    expect(parseSizeBytes('512M')).toBe(512 * 1024 ** 2);
    expect(parseSizeBytes('4GiB')).toBe(4 * 1024 ** 3);
    expect(() => parseSizeBytes('4X')).toThrow(/not a size/);
  });

  test('mountinfo with optional fields and escaped names', () => {
    const line = '36 35 98:7 / /mnt/a\\040b rw,noatime master:1 shared:2 - xfs /dev/loop3 rw';
    expect(parseMountInfo(`${line}\n`)).toEqual([
      { mountPoint: '/mnt/a b', source: '/dev/loop3', fsType: 'xfs', major: 98, minor: 7 },
    ]);
  });

  test('the programs are told apart by their command lines', () => {
    expect(kindOf('/usr/bin/node /px/dist/src/dataplane/engine/main.js --x')).toBe('engine');
    expect(kindOf('/usr/bin/etcd --name dev')).toBe('etcd');
    expect(kindOf('sleep 100')).toBe('other');
  });
});

/** A bash in one namespace tries to connect to a listener in the other. */
async function connects(fromNamespace: string, address: string): Promise<boolean> {
  const script = `exec 3<>/dev/tcp/${address}/7777`;
  const args = [`--net=/run/netns/${fromNamespace}`, '--', 'timeout', '1', 'bash', '-c', script];
  return (await tryRun('nsenter', args, { timeoutMs: 5000 })).code === 0;
}

const listener = 'require("net").createServer((s) => s.end()).listen(7777, "0.0.0.0")';

describe('network, devices and cleaning up on the real kernel', () => {
  let dir: string;
  let cluster: DevCluster;

  beforeAll(async () => {
    dir = await mkdtemp(path.join(tmpdir(), 'pxdev'));
    cluster = new DevCluster({ ...defaultOptions, dir, rootDir: process.cwd(), nodes: 2 });
    await makeHub(cluster.layout);
    for (const node of cluster.nodeLayouts) {
      await mkdir(node.dir, { recursive: true });
      await makeNodeNetwork(cluster.layout, node);
      spawnDetached({
        cluster: cluster.layout,
        nodeName: node.name,
        namespace: node.namespace,
        command: process.execPath,
        args: ['-e', `${listener} // dataplane/node/main.js`],
        logFile: path.join(node.dir, 'listener.log'),
      });
    }
  }, 60_000);

  afterAll(() => downCluster(dir), 60_000);

  test('partitions: one pair, one direction, all; healed each time', async () => {
    const n1 = cluster.node('n1');
    const n2 = cluster.node('n2');
    const both = (): Promise<boolean[]> =>
      Promise.all([connects(n1.namespace, n2.address), connects(n2.namespace, n1.address)]);
    await waitFor('listeners', 10_000, async () =>
      (await both()).every(Boolean) ? true : undefined,
    );

    await cluster.partitionPair('n1', 'n2');
    expect(await both()).toEqual([false, false]);
    // The hub, where etcd is, stays in reach.
    expect(await connects(cluster.layout.hubNamespace, n1.address)).toBe(true);
    await cluster.heal();
    expect(await both()).toEqual([true, true]);

    await cluster.partition('n1');
    expect(await connects(cluster.layout.hubNamespace, n1.address)).toBe(false);
    await cluster.heal();
    expect(await both()).toEqual([true, true]);

    await cluster.partition('n2', 'out');
    expect(await connects(n1.namespace, n2.address)).toBe(false);
    await cluster.heal();
    expect(await both()).toEqual([true, true]);
  }, 60_000);

  test('etcd runs at the hub and keeps its data over a kill -9', async () => {
    await startEtcd(cluster.layout);
    await etcdctl(cluster.layout, ['put', 'key', 'kept']);
    await cluster.killEtcd();
    expect(
      (await clusterProcesses(cluster.layout)).filter((p) => kindOf(p.command) === 'etcd'),
    ).toEqual([]);
    await startEtcd(cluster.layout);
    expect(await etcdctl(cluster.layout, ['get', 'key'])).toContain('kept');
  }, 60_000);

  test('a killed node leaves nothing alive, and its mounts and loops are swept', async () => {
    const node = cluster.node('n2');
    const files = await makeDiskFiles(node, 2, 512 * 1024 ** 2);
    const devices = await attachDisks(files);
    expect(await attachDisks(files)).toEqual(devices);
    const mountPoint = path.join(node.dir, 'mnt');
    await mkdir(mountPoint);
    await run('mkfs.xfs', ['-q', devices[0] ?? '']);
    await run('mount', [devices[0] ?? '', mountPoint]);
    // A loop device on a file in that file system, mounted in turn: two layers.
    const inner = path.join(mountPoint, 'inner.img');
    await run('truncate', ['-s', '300M', inner]);
    const innerDevice = (await run('losetup', ['--find', '--show', inner])).trim();
    await run('mkfs.xfs', ['-q', innerDevice]);
    await mkdir(path.join(node.dir, 'inner'));
    await run('mount', [innerDevice, path.join(node.dir, 'inner')]);
    await writeFile(path.join(node.dir, 'inner/file'), 'data');

    await cluster.killNode('n2');
    expect((await clusterProcesses(cluster.layout)).filter((p) => p.node === 'n2')).toEqual([]);
    await sweep(node.dir);
    expect((await clusterLeftovers(dir)).filter((left) => left.includes(node.dir))).toEqual([]);
    // The other node's process and the disks' contents are untouched.
    expect((await clusterProcesses(cluster.layout)).some((p) => p.node === 'n1')).toBe(true);
    expect((await stat(files[0] ?? '')).size).toBe(512 * 1024 ** 2);
  }, 60_000);

  test('a process that dropped its environment is found by its namespace', async () => {
    const node = cluster.node('n1');
    spawnDetached({
      cluster: cluster.layout,
      nodeName: node.name,
      namespace: node.namespace,
      command: 'env',
      args: ['-i', '/bin/sleep', '1000'],
      logFile: path.join(node.dir, 'sleep.log'),
    });
    const found = await waitFor('the sleeper', 5000, async () =>
      (await clusterProcesses(cluster.layout)).find((p) => p.command === '/bin/sleep 1000'),
    );
    expect(found.node).toBe('n1');
    expect(await readFile(`/proc/${found.pid}/environ`, 'utf8')).toBe('');
    await killAll(cluster.layout, (p) => p.pid === found.pid);
  }, 30_000);

  test('what was killed has ended, also for who looks at once', async () => {
    const pid = await cluster.killProcess('n1', 'px-node');
    expect(startTimeOf(pid)).toBe('');
    expect((await cluster.running('n1')).has('px-node')).toBe(false);
    await expect(cluster.killProcess('n1', 'px-node')).rejects.toThrow('no px-node runs on n1');
  }, 30_000);

  test('down leaves nothing behind', async () => {
    expect(await clusterLeftovers(dir)).not.toEqual([]);
    await downCluster(dir);
    expect(await clusterLeftovers(dir)).toEqual([]);
    await expect(stat(dir)).rejects.toThrow(/ENOENT/);
  }, 60_000);
});
