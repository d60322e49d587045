import { existsSync, mkdirSync, readdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import type { PoolsConfig } from '../../src/dataplane/pool/contracts.js';
import { openPools } from '../../src/dataplane/pool/open-pools.js';
import { wipeDevices } from '../../src/dataplane/pool/wipe-devices.js';
import { silentLogger } from '../../src/platform/logger.js';
import { runCommand, type RunCommand } from '../../src/platform/run-command.js';
import { command, LoopDevices, mebibyte } from './loop-device.js';

/** Which devices a wipe takes, and above all which it does not. */
const sizeBytes = 400 * mebibyte;
let loops: LoopDevices;
beforeEach(() => {
  loops = new LoopDevices();
});
afterEach(() => loops.remove());

function config(changes: Partial<PoolsConfig> = {}): PoolsConfig {
  return {
    ...{ clusterId: 'cluster-a', nodeId: 'node-1', dataDir: join(loops.directory, 'data') },
    ...{ devices: [], useAll: false, directories: [], force: false },
    ...changes,
  };
}

/** Makes a pool on the device, and leaves it unmounted as a stopped node does. */
async function makePool(changes: Partial<PoolsConfig>): Promise<void> {
  await openPools(config(changes), { run: runCommand, log: silentLogger });
  loops.unmountAll();
}

/** The paths of devices and what became of each: only what was wiped, and why others were left. */
async function wipe(
  changes: Partial<PoolsConfig>,
  run: RunCommand = runCommand,
): Promise<Map<string, string>> {
  const told = new Map<string, string>();
  const tell = (message: string, fields: object = {}): void => {
    const { path, reason } = fields as { path: string; reason?: string };
    told.set(path, reason ?? message);
  };
  const log = { ...silentLogger, info: tell, warn: tell };
  await wipeDevices(config(changes), { run, log });
  return told;
}

function typeOf(device: string): string {
  return command('sh', '-c', `blkid -p -s TYPE -o value ${device} || true`);
}

test('this node’s device is wiped, and a repetition finds nothing', async () => {
  const path = loops.create(sizeBytes);
  await makePool({ devices: [{ path }] });
  expect(typeOf(path)).toBe('xfs');
  expect(await wipe({ devices: [{ path }] })).toEqual(new Map([[path, 'a device was wiped']]));
  expect(typeOf(path)).toBe('');
  expect(await wipe({ devices: [{ path }] })).toEqual(new Map());
});

test('also one that the configuration no longer names, and one that only says itself whose it is', async () => {
  const [known, unknown] = [loops.create(sizeBytes), loops.create(sizeBytes)];
  await makePool({ devices: [{ path: known }] });
  await makePool({ devices: [{ path: unknown }], dataDir: join(loops.directory, 'lost') });
  expect([...(await wipe({ devices: [{ path: unknown }] })).values()]).toEqual([
    'a device was wiped',
    'a device was wiped',
  ]);
  expect([typeOf(known), typeOf(unknown)]).toEqual(['', '']);
});

test.each([
  ['of another node', { nodeId: 'node-2' }, 'it belongs to node node-2'],
  ['of another cluster', { clusterId: 'cluster-b' }, 'it belongs to cluster cluster-b'],
])('a device %s stays', async (_, owner, reason) => {
  const path = loops.create(sizeBytes);
  await makePool({ devices: [{ path }], dataDir: join(loops.directory, 'theirs'), ...owner });
  expect(await wipe({ devices: [{ path }] })).toEqual(new Map([[path, reason]]));
  expect(typeOf(path)).toBe('xfs');
});

test.each([
  ['a user’s ext4', ['mkfs.ext4', '-q'], 'it carries ext4'],
  ['a user’s xfs', ['mkfs.xfs', '-q'], 'its file system is not of px'],
  [
    'an xfs with our label and no identity',
    ['mkfs.xfs', '-q', '-L', 'px-pool'],
    'it has no identity',
  ],
])('%s stays', async (_, [program = '', ...args], reason) => {
  const path = loops.create(sizeBytes);
  command(program, ...args, path);
  const before = typeOf(path);
  expect(await wipe({ devices: [{ path }] })).toEqual(new Map([[path, reason]]));
  expect(typeOf(path)).toBe(before);
});

test('one that cannot be read stays', async () => {
  const path = loops.create(sizeBytes);
  await makePool({ devices: [{ path }] });
  const run: RunCommand = (file, args, options) =>
    file === 'mount'
      ? Promise.reject(new Error('Input/output error'))
      : runCommand(file, args, options);
  expect(await wipe({ devices: [{ path }] }, run)).toEqual(
    new Map([[path, 'it cannot be read: Input/output error']]),
  );
  expect(typeOf(path)).toBe('xfs');
});

test('one of ours that is in use ends the wipe with an error: its owner must stay known', async () => {
  const path = loops.create(sizeBytes);
  await makePool({ devices: [{ path }] });
  const elsewhere = join(loops.directory, 'elsewhere');
  mkdirSync(elsewhere);
  command('mount', path, elsewhere);
  await expect(wipe({ devices: [{ path }] })).rejects.toMatchObject({ code: 'device_in_use' });
  expect(readdirSync(elsewhere)).toContain('px-identity.json');
});

test('a crash between mkfs and the identity leaves a device that is ours all the same', async () => {
  const path = loops.create(sizeBytes);
  const run: RunCommand = async (file, args, options) => {
    if (file === 'mount' && !args.includes('ro,norecovery,nouuid')) throw new Error('crash');
    return runCommand(file, args, options);
  };
  await openPools(config({ devices: [{ path }] }), { run, log: silentLogger });
  expect(typeOf(path)).toBe('xfs');
  expect(await wipe({ devices: [{ path }] })).toEqual(new Map([[path, 'a device was wiped']]));
});

test('of a directory only what px put there goes, and only from its own', async () => {
  const [mine, theirs] = ['mine', 'theirs'].map((name) => join(loops.directory, name));
  await makePool({ directories: [{ path: mine }] });
  const owner = { nodeId: 'node-2', dataDir: join(loops.directory, 'other') };
  await makePool({ directories: [{ path: theirs }], ...owner });
  for (const directory of [mine, theirs]) {
    mkdirSync(join(directory, 'replicas/volume'), { recursive: true });
    writeFileSync(join(directory, 'letter.txt'), 'dear reader');
  }
  const told = await wipe({ directories: [{ path: mine }, { path: theirs }] });
  expect(told.get(theirs)).toBe('it belongs to node node-2');
  expect(readdirSync(mine)).toEqual(['letter.txt']);
  expect(existsSync(join(theirs, 'replicas/volume'))).toBe(true);
});
