import { existsSync, mkdirSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import type { PoolsConfig, PoolSet } from '../../src/dataplane/pool/contracts.js';
import { openPools } from '../../src/dataplane/pool/open-pools.js';
import { silentLogger } from '../../src/platform/logger.js';
import { runCommand, type RunCommand } from '../../src/platform/run-command.js';
import { writeGpt } from './gpt.js';
import { command, LoopDevices, mebibyte } from './loop-device.js';

const sizeBytes = 400 * mebibyte;
let loops: LoopDevices;
beforeEach(() => {
  loops = new LoopDevices();
});
afterEach(() => loops.remove());

function config(changes: Partial<PoolsConfig> = {}): PoolsConfig {
  return {
    clusterId: 'cluster-a',
    nodeId: 'node-1',
    dataDir: join(loops.directory, 'data'),
    devices: [],
    useAll: false,
    directories: [],
    force: false,
    ...changes,
  };
}

function open(changes: Partial<PoolsConfig>, run: RunCommand = runCommand): Promise<PoolSet> {
  return openPools(config(changes), { run, log: silentLogger });
}

function only<T>(items: readonly T[]): T {
  expect(items).toHaveLength(1);
  return items[0];
}

async function eventually(condition: () => boolean): Promise<void> {
  for (let attempt = 0; !condition(); attempt++) {
    if (attempt === 100) throw new Error('it did not happen within 5 s');
    await new Promise((resolve) => setTimeout(resolve, 50));
  }
}

/** What blkid finds must be there unharmed after a refusal. */
function contentOf(device: string): string {
  return command('sh', '-c', `head -c 33554432 ${device} | sha256sum`);
}

test('two fresh devices of a kind form one pool, which is adopted after a restart', async () => {
  const devices = [{ path: loops.create(sizeBytes) }, { path: loops.create(sizeBytes) }];
  const first = await open({ devices });
  const pool = only(first.pools);
  expect(pool).toMatchObject({
    class: 'medium',
    kind: 'device',
    snapshotMethod: 'reflink',
    segmentBytes: 64 * mebibyte,
    state: 'online',
  });
  expect(pool.directories).toHaveLength(2);
  expect(pool.totalBytes).toBe(pool.usedBytes + pool.availableBytes);
  expect(pool.totalBytes).toBeGreaterThan(sizeBytes);
  expect(first.drives.map(({ state, media }) => [state, media])).toEqual([
    ['online', 'loop'],
    ['online', 'loop'],
  ]);
  writeFileSync(join(pool.directories[0], 'kept'), 'data');

  const again = await open({ devices });
  const { id, directories } = pool;
  expect(only(again.pools)).toMatchObject({ id, directories, state: 'online' });
  loops.unmountAll();
  const rebooted = await open({ devices });
  expect(only(rebooted.pools)).toMatchObject({ id, directories });
  expect(readFileSync(join(pool.directories[0], 'kept'), 'utf8')).toBe('data');
});

test('a later device joins the pool of its class; a class may be wished for', async () => {
  const a = { path: loops.create(sizeBytes) };
  const before = only((await open({ devices: [a] })).pools);
  const b = { path: loops.create(sizeBytes) };
  const c = { path: loops.create(sizeBytes), class: 'high' } as const;
  const { pools } = await open({ devices: [a, b, c] });
  expect(pools.map((pool) => [pool.class, pool.directories.length]).sort()).toEqual([
    ['high', 1],
    ['medium', 2],
  ]);
  expect(pools.find((pool) => pool.class === 'medium')?.id).toBe(before.id);
});

describe('what is on a device already', () => {
  const shell = (script: string) => (path: string) => void command('sh', '-c', script, path);
  const makers: readonly [string, (path: string) => void, string][] = [
    ['ext4', shell('mkfs.ext4 -q $0'), 'ext4'],
    ['xfs', shell('mkfs.xfs -q $0'), 'xfs'],
    ['gpt', (path) => writeGpt(path, sizeBytes), 'gpt'],
    ['swap', shell('mkswap -q $0'), 'swap'],
    ['luks', shell(`printf 'LUKS\\272\\276\\0\\1' | dd of=$0 conv=notrunc,fsync`), 'crypto_LUKS'],
  ];
  test.each(makers)('%s is refused and stays whole', async (_, maker, named) => {
    const path = loops.create(sizeBytes);
    maker(path);
    const before = contentOf(path);
    const set = await open({ devices: [{ path }] });
    expect(set.pools).toEqual([]);
    const drive = only(set.drives);
    expect(drive.state).toBe('refused');
    expect(drive.reason).toContain(named);
    expect(contentOf(path)).toBe(before);
  });

  test.each(makers)('%s is formatted when forced', async (_, maker) => {
    const path = loops.create(sizeBytes);
    maker(path);
    const set = await open({ devices: [{ path }], force: true });
    expect(only(set.drives)).toMatchObject({ state: 'online', reason: '' });
    expect(command('blkid', '-p', '-o', 'value', '-s', 'LABEL', path)).toBe('px-pool');
  });

  test('a mounted device is refused even when forced', async () => {
    const path = loops.create(sizeBytes);
    command('mkfs.xfs', '-q', path);
    const mountPoint = join(loops.directory, 'elsewhere');
    mkdirSync(mountPoint);
    command('mount', path, mountPoint);
    const set = await open({ devices: [{ path }], force: true });
    expect(only(set.drives).reason).toContain('mounted at');
    expect(set.pools).toEqual([]);
  });

  test('no answer of blkid counts as in use', async () => {
    const path = loops.create(sizeBytes);
    const run: RunCommand = (file, args, options) =>
      file === 'blkid'
        ? runCommand('sleep', ['30'], { timeoutMs: 100 })
        : runCommand(file, args, options);
    const set = await open({ devices: [{ path }] }, run);
    expect(only(set.drives)).toMatchObject({ state: 'refused' });
    expect(only(set.drives).reason).toContain('did not end within');
  });

  test('what is no whole device is refused', async () => {
    const file = join(loops.directory, 'file');
    writeFileSync(file, '');
    const set = await open({ devices: [{ path: file }, { path: '/dev/px-none' }] });
    expect(set.drives.map(({ state }) => state)).toEqual(['refused', 'refused']);
    expect(set.drives[0].reason).toContain('not a block device');
    expect(set.drives[1].reason).toContain('there is no such device');
  });
});

test.each([
  ['cluster', { clusterId: 'cluster-b' }, 'cluster cluster-a'],
  ['node', { nodeId: 'node-2' }, 'node node-1'],
])('a device of another %s is refused, also when forced', async (_, other, named) => {
  const devices = [{ path: loops.create(sizeBytes) }];
  await open({ devices });
  loops.unmountAll();
  for (const dataDir of [join(loops.directory, 'data'), join(loops.directory, 'other')]) {
    const set = await open({ devices, ...other, dataDir, force: true });
    expect(set.pools.filter(({ state }) => state !== 'offline')).toEqual([]);
    expect(only(set.drives.filter(({ state }) => state === 'refused')).reason).toContain(named);
    expect(readFileSync('/proc/mounts', 'utf8')).not.toContain(`${devices[0].path} `);
  }
});

test('a node that lost its data directory but not its name adopts its device', async () => {
  const devices = [{ path: loops.create(sizeBytes) }];
  const before = only((await open({ devices })).pools);
  loops.unmountAll();
  const after = await open({ devices, dataDir: join(loops.directory, 'new') });
  expect(only(after.pools).id).toBe(before.id);
});

describe('a crash while a device is taken', () => {
  class Crash extends Error {}

  /** Fails before or after the first run of that program. */
  function crashingAt(program: string, when: 'before' | 'after'): RunCommand {
    return async (file, args, options) => {
      if (file !== program) return runCommand(file, args, options);
      if (when === 'before') throw new Crash('crash');
      await runCommand(file, args, options);
      throw new Crash('crash');
    };
  }

  test.each([
    ['mkfs.xfs', 'before'],
    ['mkfs.xfs', 'after'],
    ['mount', 'after'],
  ] as const)('%s, %s', async (program, when) => {
    const devices = [{ path: loops.create(sizeBytes) }];
    const crashed = await open({ devices }, crashingAt(program, when));
    expect(only(crashed.drives)).toMatchObject({ state: 'refused' });
    loops.unmountAll();
    const set = await open({ devices });
    expect(only(set.drives)).toMatchObject({ state: 'online', reason: '' });
    expect(only(set.pools).state).toBe('online');
  });

  test('a half-written mkfs is taken up again; an identity that was lost is not invented', async () => {
    const devices = [{ path: loops.create(sizeBytes) }];
    await open({ devices }, crashingAt('mkfs.xfs', 'after'));
    // mkfs marks its superblock "in progress" (byte 126) until all else is written.
    command('sh', '-c', `printf '\\1' | dd of=$0 bs=1 seek=126 conv=notrunc`, devices[0].path);
    const set = await open({ devices });
    const drive = only(set.drives);
    expect(drive).toMatchObject({ state: 'online', reason: '' });
    rmSync(join(only(set.pools).directories[0], 'px-identity.json'));
    loops.unmountAll();
    const lost = await open({ devices });
    expect(lost.drives.every(({ state }) => state !== 'online')).toBe(true);
    expect(lost.drives[0].reason).toContain('has lost its px-identity.json');
  });
});

test('a device of ours that is not there is shown as offline, the pool goes on', async () => {
  const paths = [loops.create(sizeBytes), loops.create(sizeBytes)];
  const devices = paths.map((path) => ({ path }));
  const before = only((await open({ devices })).pools);
  loops.unmountAll();
  loops.detach(paths[1]);
  const set = await open({ devices: [devices[0]] });
  expect(only(set.pools)).toMatchObject({ id: before.id, state: 'online' });
  expect(only(set.pools).directories).toHaveLength(1);
  expect(set.drives.map(({ state }) => state)).toEqual(['online', 'offline']);
});

test('capacities follow what is written; a full pool says so; a drive that goes away is offline', async () => {
  const devices = [{ path: loops.create(sizeBytes) }];
  const set = await open({ devices });
  const before = only(set.pools);
  const file = join(before.directories[0], 'file');
  command('fallocate', '-l', String(100 * mebibyte), file);
  set.refresh();
  const after = only(set.pools);
  expect(after.usedBytes - before.usedBytes).toBeGreaterThanOrEqual(100 * mebibyte);
  expect(after.usedBytes - before.usedBytes).toBeLessThan(101 * mebibyte);
  command('fallocate', '-l', String(after.availableBytes - 50 * mebibyte), `${file}2`);
  set.refresh();
  expect(only(set.pools).state).toBe('full');
  rmSync(file);
  // XFS frees an unlinked file's blocks in the background; statfs starts it.
  await eventually(() => {
    set.refresh();
    return only(set.pools).state === 'online';
  });
  loops.unmountAll();
  set.refresh();
  expect(only(set.pools)).toMatchObject({ state: 'offline', totalBytes: 0 });
  expect(only(set.drives)).toMatchObject({ state: 'offline' });
});

test('a directory is a pool of its own; nothing is formatted; its identity is kept', async () => {
  const path = join(loops.directory, 'pool');
  const first = await open({ directories: [{ path, class: 'high' }] });
  const pool = only(first.pools);
  expect(pool).toMatchObject({ kind: 'directory', class: 'high', state: 'online' });
  expect(pool.directories).toEqual([path]);
  expect(readdirSync(path)).toEqual(['px-identity.json']);
  expect(only((await open({ directories: [{ path }] })).pools).id).toBe(pool.id);
  const foreign = await open({ directories: [{ path }], clusterId: 'cluster-b' });
  expect(only(foreign.drives)).toMatchObject({ state: 'refused', media: 'directory' });
  expect(only(foreign.drives).reason).toContain('cluster cluster-a');
});

test('whether a directory can clone files is tried, not believed', async () => {
  const xfs = join(loops.directory, 'xfs');
  const ext4 = join(loops.directory, 'ext4');
  for (const [mountPoint, type] of [
    [xfs, 'xfs'],
    [ext4, 'ext4'],
  ]) {
    const device = loops.create(sizeBytes);
    command(`mkfs.${type}`, '-q', device);
    mkdirSync(mountPoint);
    command('mount', device, mountPoint);
  }
  const set = await open({ directories: [{ path: xfs }, { path: ext4 }] });
  const methods = new Map(set.pools.map((pool) => [pool.directories[0], pool.snapshotMethod]));
  expect(methods.get(xfs)).toBe('reflink');
  expect(methods.get(ext4)).toBe('copy');
  expect(existsSync(join(xfs, '.px-probe'))).toBe(false);
});
