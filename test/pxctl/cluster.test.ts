import { mkdtemp, open, readdir, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { DevCluster } from '../../tools/devcluster/cluster.js';
import { tryRun } from '../../tools/lib/run.js';
import { waitFor } from '../../tools/lib/wait.js';
import { startCluster } from '../support/clusters.js';
import { describeOnCluster } from '../support/needs.js';
import { miB } from '../support/volumes.js';

interface ShownVolume {
  readonly id: string;
  readonly locator: { readonly name: string; readonly volume_labels: Record<string, string> };
  readonly spec: { readonly size: string; readonly format: string };
  readonly status: string;
  readonly status_reason: string;
  readonly state: string;
  readonly attached_on: string;
  readonly device_path: string;
  readonly readonly: boolean;
  readonly replica_sets: readonly { readonly nodes: readonly string[] }[];
  readonly replicas: readonly { readonly node_name: string; readonly state: string }[];
}

/** The built program, as a user runs it, on real px-nodes: every command at least once. */
describeOnCluster('pxctl on a cluster', () => {
  let cluster: DevCluster;
  let directory: string;

  beforeAll(async () => {
    cluster = await startCluster();
    directory = await mkdtemp(join(tmpdir(), 'pxctl-test-'));
  }, 120_000);

  afterAll(async () => {
    await cluster.down();
    await rm(directory, { recursive: true, force: true });
  }, 60_000);

  function pxctlOn(node: string, ...args: string[]) {
    return tryRun(process.execPath, ['dist/src/pxctl/main.js', ...args], {
      env: { PXCTL_ENDPOINT: `unix://${cluster.node(node).apiSocket}` },
      timeoutMs: 120_000,
    });
  }

  async function ok(...args: string[]): Promise<string> {
    const { code, stdout, stderr } = await pxctlOn('n1', ...args);
    expect({ args, code, stderr }).toEqual({ args, code: 0, stderr: '' });
    return stdout;
  }

  /** Refused with this code, one line, and nothing on stdout. */
  async function refused(code: number, ...args: string[]): Promise<string> {
    const result = await pxctlOn('n1', ...args);
    expect({ args, code: result.code, stdout: result.stdout }).toEqual({ args, code, stdout: '' });
    expect(result.stderr).toMatch(/^pxctl: [^\n]+\n$/);
    return result.stderr;
  }

  async function inspect(name: string): Promise<ShownVolume> {
    const [shown] = JSON.parse(await ok('volume', 'inspect', name, '-j')) as ShownVolume[];
    if (shown === undefined) throw new Error(`nothing was shown of ${name}`);
    return shown;
  }

  const inSync = (name: string): Promise<true> =>
    waitFor(`${name} in sync`, 60_000, async () =>
      (await inspect(name)).replicas.every(({ state }) => state === 'in_sync') ? true : undefined,
    );

  test('status, cluster, pools and drives', async () => {
    const status = await ok('status');
    expect(status).toMatch(/^Status: PX is operational\n/);
    expect(status).toContain(`Node ID: ${cluster.id('n1')}\n`);
    expect(status).toContain('Nodes: 3 nodes, 3 operational\n');
    expect(JSON.parse(await ok('status', '-j'))).toMatchObject({ status: 'operational' });
    const nodes = JSON.parse(await ok('c', 'list', '-j')) as { name: string; state: string }[];
    expect(nodes.map(({ name, state }) => `${name} ${state}`)).toEqual([
      ...['n1 operational', 'n2 operational', 'n3 operational'],
    ]);
    expect(await ok('cluster', 'inspect', 'n2')).toMatch(/Zone +: zone-2\n/);
    const [pool] = JSON.parse(await ok('service', 'pool', 'show', '-j')) as { id: string }[];
    expect(await ok('sv', 'pool', 'show')).toContain(pool?.id ?? 'no pool');
    const drives = JSON.parse(await ok('sv', 'drive', 'show', '-j')) as { pool_id: string }[];
    expect(drives.map((drive) => drive.pool_id)).toEqual([pool?.id]);
  }, 30_000);

  test('the life of a volume: create, mount, grow, copy, restore, check, delete', async () => {
    const created = await ok('v', 'c', 'vol', '-s', '300M', '-r', '3', '--fs', 'xfs', '-l', 'a=b');
    const id = /^Volume successfully created: (\S+)\n$/.exec(created)?.[1] ?? '';
    const volume = await inspect('vol');
    expect(volume).toMatchObject({
      id,
      locator: { name: 'vol', volume_labels: { a: 'b' } },
      spec: { size: String(300 * miB), format: 'xfs', ha_level: '3' },
      status: 'up',
      state: 'detached',
    });
    expect([...(volume.replica_sets[0]?.nodes ?? [])].sort()).toEqual(
      ['n1', 'n2', 'n3'].map((name) => cluster.id(name)).sort(),
    );

    const path = join(directory, 'vol');
    expect(await ok('host', 'mount', 'vol', '--path', path)).toContain('new xfs');
    expect(await ok('host', 'mount', 'vol', '--path', path)).toContain('already');
    await writeFile(join(path, 'file'), 'before');
    expect(await ok('v', 'l')).toMatch(new RegExp(`${id} +vol .*up - attached on n1\n`));
    await refused(5, 'volume', 'delete', 'vol');
    await refused(5, 'host', 'detach', 'vol');

    const before = Number(
      (await tryRun('df', ['--output=size', '-B1', path])).stdout.split('\n')[1],
    );
    expect(await ok('volume', 'resize', 'vol', '-s', '1')).toBe('Volume vol has 1 GiB.\n');
    const after = Number(
      (await tryRun('df', ['--output=size', '-B1', path])).stdout.split('\n')[1],
    );
    expect(after).toBeGreaterThan(before + 600 * miB);
    expect(await refused(2, 'volume', 'update', 'vol', '--size', '512M')).toContain('shrink');

    // In the page cache only when the snapshot is asked for.
    await writeFile(join(path, 'file'), 'at the snapshot');
    await ok('volume', 'snapshot', 'create', 'vol', '--name', 'snap', '--label', 'k=v');
    await writeFile(join(path, 'file'), 'after the snapshot');
    const listed = JSON.parse(await ok('v', 'snapshot', 'list', 'vol', '-j')) as ShownVolume[];
    expect(listed.map((snap) => [snap.locator, snap.readonly])).toEqual([
      [{ name: 'snap', volume_labels: { k: 'v' } }, true],
    ]);
    expect(await ok('v', 'l')).not.toContain('snap');
    expect(await ok('v', 'l', '--all')).toContain('snap');

    await ok('volume', 'clone', 'snap', '--name', 'clone');
    const clonePath = join(directory, 'clone');
    await ok('host', 'mount', 'clone', '--path', clonePath);
    expect(await readFile(join(clonePath, 'file'), 'utf8')).toBe('at the snapshot');
    await ok('host', 'unmount', 'clone');

    await refused(5, 'volume', 'snapshot', 'restore', 'vol', '--snapshot', 'snap');
    await ok('host', 'unmount', 'vol', '--path', path);
    expect(await ok('host', 'unmount', 'vol', '--path', path)).toContain('not mounted');
    expect(await inspect('vol')).toMatchObject({ state: 'detached', device_path: '' });
    await ok('volume', 'snapshot', 'restore', 'vol', '--snapshot', 'snap');
    await inSync('vol');
    expect(await ok('volume', 'check', 'vol')).toMatch(/equal \(1 GiB compared on (n\d,? ?){3}\)/);
    await ok('host', 'mount', 'vol', '--path', path);
    expect(await readFile(join(path, 'file'), 'utf8')).toBe('at the snapshot');
    await ok('host', 'unmount', 'vol');

    for (const name of ['clone', 'snap', 'vol']) await ok('volume', 'delete', name);
    await refused(3, 'volume', 'delete', 'vol');
    expect(JSON.parse(await ok('v', 'l', '-a', '-j'))).toEqual([]);
  }, 180_000);

  test('a sticky volume stays until that is cleared, from any node and while it is in use', async () => {
    await ok('v', 'c', 'keep', '-s', '64M', '-r', '2', '--fs', 'none', '--sticky', '-l', 'a=1,b=2');
    await ok('v', 'c', 'keep', '-s', '64M', '-r', '2', '--fs', 'none', '--sticky', '-l', 'a=1,b=2');
    expect(await refused(5, 'volume', 'delete', 'keep')).toContain('update keep --sticky off');
    expect(await ok('volume', 'inspect', 'keep')).toContain('sticky');
    await ok('host', 'attach', 'keep');
    const { device_path } = await inspect('keep');
    for (let round = 0; round < 2; round += 1) {
      const cleared = await pxctlOn('n3', 'v', 'update', 'keep', '--sticky', 'off', '-l', 'b=,c=3');
      expect(cleared).toMatchObject({ code: 0, stderr: '' });
    }
    expect(await inspect('keep')).toMatchObject({
      ...{ state: 'attached', device_path, status: 'up' },
      locator: { name: 'keep', volume_labels: { a: '1', c: '3' } },
      spec: { sticky: false },
    });
    await ok('host', 'detach', 'keep');
    await ok('volume', 'update', 'keep', '--sticky', 'on');
    await refused(5, 'volume', 'delete', 'keep');
    await ok('volume', 'update', 'keep', '--sticky', 'off');
    await ok('volume', 'delete', 'keep');
    await refused(3, 'volume', 'update', 'keep', '--sticky', 'off');
  }, 60_000);

  test('attach and detach, here and elsewhere', async () => {
    await ok('v', 'c', 'raw', '-s', '64M', '-r', '2', '--fs', 'none');
    const attached = JSON.parse(await ok('host', 'attach', 'raw', '-j')) as ShownVolume;
    expect(attached.device_path).toMatch(/^\/dev\/loop\d+$/);
    expect(await inspect('raw')).toMatchObject({
      ...{ state: 'attached', attached_on: cluster.id('n1'), device_path: attached.device_path },
    });
    expect((await tryRun('blockdev', ['--getsize64', attached.device_path])).stdout.trim()).toBe(
      String(64 * miB),
    );
    const other = await pxctlOn('n2', 'host', 'attach', 'raw');
    expect(other).toMatchObject({ code: 5, stdout: '' });
    expect(other.stderr).toContain('attached on n1');
    expect(await refused(5, 'host', 'mount', 'raw', '--path', join(directory, 'raw'))).toContain(
      'raw block',
    );
    // Any node can be asked; the one that has it detaches it.
    expect(await pxctlOn('n2', 'host', 'detach', 'raw')).toMatchObject({ code: 0, stderr: '' });
    expect(await inspect('raw')).toMatchObject({ state: 'detached' });
    expect(await ok('host', 'detach', 'raw')).toContain('was not attached');
    const nbd = await ok('host', 'attach', 'raw', '--frontend', 'nbd');
    expect(nbd).toContain('nbd+unix://');
    await ok('host', 'detach', 'raw');
    await ok('v', 'd', 'raw');
  }, 60_000);

  test('what cannot be had is refused with the code for its kind', async () => {
    await refused(3, 'volume', 'inspect', 'none');
    await refused(3, 'host', 'mount', 'none', '--path', join(directory, 'none'));
    await refused(3, 'volume', 'snapshot', 'create', 'none', '--name', 's');
    await refused(2, 'volume', 'create', 'bad/name');
    await refused(2, 'volume', 'create', 'v', '--secure');
    expect(await refused(1, 'volume', 'create', 'v', '-r', '4')).toContain('can be placed');
    expect(await refused(1, 'volume', 'create', 'v', '--zones', 'nowhere')).toContain('zone');
    await ok('v', 'c', 'taken', '-s', '64M');
    await refused(5, 'volume', 'create', 'taken', '-s', '128M');
    await ok('v', 'd', 'taken');
    const gone = await tryRun(process.execPath, ['dist/src/pxctl/main.js', 'status'], {
      env: { PXCTL_ENDPOINT: 'unix:///tmp/no-such-px-node.sock' },
    });
    expect(gone).toMatchObject({ code: 4, stdout: '' });
    const head = await tryRun('sh', [
      '-c',
      '"$0" dist/src/pxctl/main.js --help | head -1',
      process.execPath,
    ]);
    expect(head).toMatchObject({ code: 0, stderr: '' });
  }, 60_000);

  test('check finds the place where a replica is not what the others are', async () => {
    await ok('v', 'c', 'odd', '-s', '64M', '-r', '3', '--fs', 'none');
    const { id } = await inspect('odd');
    const { device_path } = JSON.parse(await ok('host', 'attach', 'odd', '-j')) as ShownVolume;
    const fill = ['if=/dev/urandom', `of=${device_path}`, 'bs=1M', 'count=16', 'oflag=direct'];
    expect((await tryRun('dd', fill)).code).toBe(0);
    await ok('host', 'detach', 'odd');
    await ok('volume', 'check', 'odd');
    const file = await segmentOf(cluster.node('n3').dataDir, id);
    const segment = await open(file, 'r+');
    await segment.write('something else', 8 * miB + 70_000);
    await segment.close();
    const { code, stdout } = await pxctlOn('n1', 'volume', 'check', 'odd', '-j');
    expect(code).toBe(6);
    const [found] = JSON.parse(stdout) as { differences: Record<string, unknown>[] }[];
    expect(found).toMatchObject({
      equal: false,
      differences: [{ offset_bytes: String(8 * miB + 65_536), length_bytes: '65536' }],
    });
    const text = (await pxctlOn('n1', 'volume', 'check', 'odd')).stdout;
    expect(text).toMatch(/DIFFER at 1 place, 64 KiB/);
    await ok('v', 'd', 'odd');
  }, 60_000);

  test('a node that is down: the reason, the replica that is out, and back in sync', async () => {
    await ok('v', 'c', 'ha', '-s', '128M', '-r', '3', '--fs', 'ext4');
    const path = join(directory, 'ha');
    await ok('host', 'mount', 'ha', '--path', path);
    await cluster.killNode('n3');
    await writeFile(join(path, 'file'), Buffer.alloc(8 * miB, 7));
    expect((await tryRun('sync', ['-f', path])).code).toBe(0);
    await waitFor('the replica on n3 out', 30_000, async () =>
      (await inspect('ha')).replicas.some(
        ({ node_name, state }) => node_name === 'n3' && state !== 'in_sync',
      )
        ? true
        : undefined,
    );
    await waitFor('n3 offline', 30_000, async () =>
      /n3 .*offline/.test(await ok('cluster', 'list')) ? true : undefined,
    );
    const text = await ok('volume', 'inspect', 'ha');
    expect(text).toMatch(/Status +: degraded\n.*Reason +: .*n3/);
    expect(text).toContain('Replication Status : Degraded\n');
    expect(await ok('v', 'l')).toContain('degraded - attached on n1');
    const partial = await pxctlOn('n1', 'volume', 'check', 'ha');
    expect(partial.code).toBe(5);
    expect(partial.stderr).toContain('not compared: the replica on n3');

    await cluster.startNode('n3');
    await inSync('ha');
    expect(await inspect('ha')).toMatchObject({ status: 'up', status_reason: '' });
    expect(await ok('volume', 'check', 'ha')).toContain('equal');
    await ok('host', 'unmount', 'ha');
    await ok('v', 'd', 'ha');
  }, 180_000);

  test('without the key-value store: the state is told, and nothing hangs', async () => {
    await ok('v', 'c', 'flat', '-s', '64M', '-r', '2');
    await cluster.killEtcd();
    try {
      await waitFor('kvdb_unavailable', 30_000, async () => {
        const { code, stdout } = await pxctlOn('n1', 'status');
        return code === 4 && /^Status: PX is kvdb unavailable/.test(stdout) ? true : undefined;
      });
      const { code, stderr } = await pxctlOn('n1', 'volume', 'create', 'no', '-s', '64M');
      expect({ code, lines: stderr.trim().split('\n').length }).toEqual({ code: 4, lines: 1 });
      // What was read last is better than nothing.
      expect(await ok('volume', 'list')).toContain('flat');
    } finally {
      await cluster.startEtcd();
    }
    await waitFor('operational again', 60_000, async () =>
      (await pxctlOn('n1', 'status')).code === 0 ? true : undefined,
    );
    await ok('v', 'd', 'flat');
  }, 180_000);
});

/** The file that holds the start of a volume's replica below a node's data directory. */
async function segmentOf(dataDir: string, volumeId: string): Promise<string> {
  for (const entry of await readdir(dataDir, { recursive: true })) {
    if (entry.includes(volumeId) && entry.endsWith('/0.seg')) return join(dataDir, entry);
  }
  throw new Error(`no replica of ${volumeId} below ${dataDir}`);
}
