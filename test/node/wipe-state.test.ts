import { existsSync, mkdirSync, mkdtempSync, readdirSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { openIdentity } from '../../src/dataplane/cluster/node-identity.js';
import { createEtcdKvdb } from '../../src/dataplane/kvdb/etcd-kvdb.js';
import type { Kvdb } from '../../src/dataplane/kvdb/port.js';
import { startTestEtcd, type TestEtcd } from '../../src/dataplane/kvdb/testing-etcd.js';
import { parseConfig, type NodeConfig } from '../../src/dataplane/node/config.js';
import { wipeNode } from '../../src/dataplane/node/wipe-node.js';
import { silentLogger } from '../../src/platform/logger.js';
import { runCommand } from '../../src/platform/run-command.js';

/** What a wipe removes besides devices: files, and keys of a real etcd. */
jest.setTimeout(60_000);

let etcd: TestEtcd;
let kvdb: Kvdb;
let root: string;
let config: NodeConfig;
let nodeId: string;

beforeAll(async () => {
  etcd = await startTestEtcd();
  kvdb = createEtcdKvdb({ endpoints: [etcd.endpoint] });
});
afterAll(async () => {
  kvdb.close();
  await etcd.dispose();
});
beforeEach(async () => {
  root = mkdtempSync(join(tmpdir(), 'px-wipe-'));
  const [dataDir, runDir] = [join(root, 'lib'), join(root, 'run')];
  config = parseConfig(
    JSON.stringify({ clusterid: 'c', kvdb: etcd.endpoint, dataDir, runDir }),
    'config.json',
    {},
  );
  nodeId = openIdentity(dataDir, 'c').nodeId;
  for (const directory of ['devices/registry', 'devices/some-id', 'etcd.no-member-1', 'pool']) {
    mkdirSync(join(dataDir, directory), { recursive: true });
  }
  mkdirSync(join(runDir, 'credentials'), { recursive: true });
  for (const file of ['lib/pool/data', 'lib/letter.txt', 'run/engine.json', 'lib/etcd.log']) {
    writeFileSync(join(root, file), 'x');
  }
  const { entries } = await kvdb.list('pwx/');
  await kvdb.txn(
    [],
    entries.map(({ key }) => ({ type: 'delete', key })),
  );
  const keys = [`c/nodes/${nodeId}`, `c/alive/${nodeId}`, 'c/nodes/other', 'c/volumes/v', 'c2/x'];
  await kvdb.txn(
    [],
    keys.map((key) => ({ type: 'put', key: `pwx/${key}`, value: '{}' })),
  );
});
afterEach(() => rmSync(root, { recursive: true }));

const wipe = (changes: object = {}, target = config) =>
  wipeNode({
    ...{ config: target, logger: silentLogger, run: runCommand },
    ...{ devices: false, kvdbKeys: false, force: false },
    openKvdb: () => createEtcdKvdb({ endpoints: [etcd.endpoint] }),
    ...changes,
  });

async function keysLeft(): Promise<string[]> {
  const { entries } = await kvdb.list('pwx/');
  return entries.map(({ key }) => key.slice('pwx/'.length));
}

it('keeps all that leads to the data while that stays: the node comes back as what it was', async () => {
  await wipe();
  const kept = ['devices', 'etcd.log', 'etcd.no-member-1', 'identity.json', 'letter.txt', 'pool'];
  expect(readdirSync(join(root, 'lib')).sort()).toEqual(kept);
  expect(readdirSync(join(root, 'lib/devices'))).toEqual(['registry']);
  expect(readdirSync(join(root, 'run'))).toEqual([]);
  expect(await keysLeft()).toContain(`c/nodes/${nodeId}`);
  expect(openIdentity(config.dataDir, 'c').nodeId).toBe(nodeId);
  expect(() => openIdentity(config.dataDir, 'c2')).toThrow('belongs to cluster "c"');
  await wipe();
});

it('removes the node’s files and its keys with the devices, and nothing else', async () => {
  await wipe({ devices: true });
  expect(readdirSync(join(root, 'lib')).sort()).toEqual(['letter.txt', 'pool']);
  expect(readdirSync(join(root, 'run'))).toEqual([]);
  expect(await keysLeft()).toEqual(['c/nodes/other', 'c/volumes/v', 'c2/x']);
  await wipe({ devices: true });
  expect(readdirSync(join(root, 'lib/pool'))).toEqual(['data']);
});

it('removes the cluster’s keys only when told, and those of no other cluster', async () => {
  await wipe({ devices: true, kvdbKeys: true });
  expect(await keysLeft()).toEqual(['c2/x']);
});

it('never removes the records of data that stays', async () => {
  await expect(wipe({ kvdbKeys: true })).rejects.toThrow('remove both or none');
  expect(await keysLeft()).toContain('c/volumes/v');
});

it('keeps the identity when the keys cannot be removed, unless forced', async () => {
  const openKvdb = () => createEtcdKvdb({ endpoints: ['http://127.0.0.1:1'] });
  await expect(wipe({ devices: true, openKvdb })).rejects.toMatchObject({
    code: 'kvdb_unavailable',
  });
  expect(existsSync(join(root, 'lib/identity.json'))).toBe(true);
  await wipe({ devices: true, openKvdb, force: true });
  expect(existsSync(join(root, 'lib/identity.json'))).toBe(false);
});

it('refuses the directory of another cluster', async () => {
  await expect(wipe({}, { ...config, clusterid: 'c2' })).rejects.toThrow(
    'belongs to cluster "c", not "c2"',
  );
  expect(existsSync(join(root, 'lib/identity.json'))).toBe(true);
  expect(await keysLeft()).toContain('c2/x');
});
