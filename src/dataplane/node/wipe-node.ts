import { existsSync, readdirSync, readFileSync, rmdirSync, rmSync } from 'node:fs';
import { join } from 'node:path';
import { PxError, toPxError } from '../../kernel/errors.js';
import type { Logger } from '../../platform/logger.js';
import type { RunCommand } from '../../platform/run-command.js';
import { readOwnIdentity } from '../cluster/node-identity.js';
import { createEngineClient } from '../engine-client/engine-client.js';
import { listLoopDevices, loopDeviceUser } from '../frontend/loop-device.js';
import { parseMountInfo as parseFuseMounts } from '../holder/fuse-mounts.js';
import { removeUnusedRuntimes } from '../host-runtime/install.js';
import { KvKeys, type Kvdb } from '../kvdb/port.js';
import { wipeDevices } from '../pool/wipe-devices.js';
import { holderCgroup } from './block-path.js';
import type { NodeConfig } from './config.js';
import { processLives } from '../sys/process-table.js';
import { stopNode } from './stop-node.js';

export interface WipeDeps {
  readonly config: NodeConfig;
  readonly logger: Logger;
  readonly run: RunCommand;
  /** Also takes the pools off their devices, and removes all that leads to what was on them. */
  readonly devices: boolean;
  /** Also removes every key of the cluster: for the last node. */
  readonly kvdbKeys: boolean;
  /** Also when volumes are in use (what is not written is lost) or the kvdb is away. */
  readonly force: boolean;
  openKvdb(config: NodeConfig, endpoints: readonly string[]): Kvdb;
}

/** The host's init; where px-node itself runs on the host, it is in the same namespaces. */
const hostInit = '/proc/1';
const txnKeys = 100;
/** Below `devices`, beside the mount points. */
const registry = 'registry';

/**
 * Ends what px runs on this node and removes what it left there. Without
 * `devices` the data stays, and with it all that it takes to come back to it:
 * the node's identity, the registry of its devices, the kvdb and its records.
 * With it the identity goes last: until then a repetition knows whose devices
 * and keys those are. A repetition after the end finds nothing to do.
 */
export async function wipeNode(deps: WipeDeps): Promise<void> {
  const { config, logger, run, force } = deps;
  const identity = readOwnIdentity(config.dataDir);
  if (identity !== undefined && identity.clusterId !== config.clusterid) {
    throw new PxError(
      'failed_precondition',
      `${config.dataDir} belongs to cluster "${identity.clusterId}", not "${config.clusterid}"`,
    );
  }
  if (deps.kvdbKeys && !deps.devices) {
    throw new PxError('invalid_argument', 'data without its records is lost: remove both or none');
  }
  if (!force) await refuseAttached(config.runDir);
  await stopNode({ config, logger, run, force });
  if (deps.devices) {
    if (identity === undefined) logger.warn('no identity is left here: no device is touched');
    else await wipePools(deps, identity.nodeId);
  }
  await removeKeys(deps, deps.devices ? identity?.nodeId : undefined);
  await removeRuntimes(config.dataDir, logger);
  removeLeftovers(config);
  if (deps.devices) removeState(config.dataDir);
  removeHolderCgroups();
  logger.info(
    deps.devices
      ? 'nothing of this node is left'
      : 'nothing of px runs on this node any more; its data and its identity are kept',
  );
}

async function refuseAttached(runDir: string): Promise<void> {
  const used = new Map<string, string>();
  const engine = createEngineClient(runDir);
  for (const volume of await engine.call('volume.list', {}).catch(() => [])) {
    if (volume.frontend !== 'none') used.set(volume.volumeId, volume.devicePath || volume.nbdUri);
  }
  // Also what an engine that is gone has left: the kernel knows. A device without
  // a mount on this host is that of another node of this kernel.
  const mountInfo = join(hostInit, 'mountinfo');
  const mounts = parseFuseMounts(readFileSync(mountInfo, 'utf8'), runDir);
  for (const device of listLoopDevices()) {
    const mount = mounts.find(({ path }) => path === device.backingFile);
    if (mount === undefined) continue;
    const user = await loopDeviceUser(device, mountInfo);
    const shown = user === undefined ? device.path : `${device.path}, ${user}`;
    used.set(mount.volumeId, shown);
  }
  if (used.size === 0) return;
  const names = [...used].map(([id, where]) => `volume ${id} (${where})`);
  throw new PxError(
    'failed_precondition',
    `still attached on this node: ${names.join(', ')}; detach them, or use --force, ` +
      'which fails their I/O',
  );
}

async function wipePools({ config, logger, run }: WipeDeps, nodeId: string): Promise<void> {
  const { clusterid: clusterId, dataDir, storage } = config;
  const { devices, directories, useAll } = storage;
  await wipeDevices(
    { clusterId, nodeId, dataDir, devices, directories, useAll },
    { run, log: logger },
  );
}

/** The internal kvdb has no keys to remove: its members' data goes with their nodes. */
async function removeKeys(deps: WipeDeps, nodeId: string | undefined): Promise<void> {
  const { config, kvdbKeys, force, logger } = deps;
  if (config.kvdb === 'internal' || (nodeId === undefined && !kvdbKeys)) return;
  const kvdb = deps.openKvdb(config, config.kvdb);
  const keys = new KvKeys(config.clusterid);
  try {
    if (kvdbKeys) await removePrefix(kvdb, keys.root);
    else if (nodeId !== undefined) await remove(kvdb, [keys.aliveNode(nodeId), keys.node(nodeId)]);
  } catch (error) {
    if (!force) throw error;
    logger.warn('keys stay in the kvdb', { reason: toPxError(error).message });
  } finally {
    kvdb.close();
  }
}

async function removePrefix(kvdb: Kvdb, prefix: string): Promise<void> {
  const { entries } = await kvdb.list(prefix);
  for (let at = 0; at < entries.length; at += txnKeys) {
    await remove(
      kvdb,
      entries.slice(at, at + txnKeys).map(({ key }) => key),
    );
  }
}

async function remove(kvdb: Kvdb, keys: readonly string[]): Promise<void> {
  const outcome = await kvdb.txn(
    [],
    keys.map((key) => ({ type: 'delete', key })),
  );
  if (outcome.outcome !== 'ok') {
    throw new PxError('kvdb_unavailable', 'the kvdb did not confirm that keys were removed');
  }
}

async function removeRuntimes(dataDir: string, logger: Logger): Promise<void> {
  const directory = join(dataDir, 'runtime');
  if (!existsSync(directory)) return;
  await removeUnusedRuntimes({ directory, keep: '', logger, processLives });
}

/** What only processes needed: sockets, and mount points. */
function removeLeftovers({ dataDir, runDir }: NodeConfig): void {
  if (existsSync(runDir)) {
    for (const name of readdirSync(runDir)) rmSync(join(runDir, name), { recursive: true });
  }
  const devices = join(dataDir, 'devices');
  for (const name of existsSync(devices) ? readdirSync(devices) : []) {
    // Never what is in them: a mount point that is still mounted refuses.
    if (name !== registry) rmdirSync(join(devices, name));
  }
  removeEmpty(join(dataDir, 'runtime'));
}

/** Only names that px gives: a directory pool, or a user's file, may lie beside them. */
function removeState(dataDir: string): void {
  if (!existsSync(dataDir)) return;
  const devices = join(dataDir, 'devices');
  rmSync(join(devices, registry), { recursive: true, force: true });
  removeEmpty(devices);
  for (const name of readdirSync(dataDir)) {
    if (!/^etcd($|\.log$|\.no-member-)/.test(name)) continue;
    rmSync(join(dataDir, name), { recursive: true });
  }
  rmSync(join(dataDir, 'identity.json'), { force: true });
}

function removeEmpty(directory: string): void {
  if (existsSync(directory) && readdirSync(directory).length === 0) rmdirSync(directory);
}

/** Empty now, unless another node of this kernel has them in use, which refuses. */
function removeHolderCgroups(): void {
  const mounts = readFileSync(join(hostInit, 'mountinfo'), 'utf8').split('\n');
  for (const line of mounts.filter((text) => / - cgroup2? /.test(text))) {
    try {
      rmdirSync(join(hostInit, 'root', line.split(' ')[4] ?? '', holderCgroup));
    } catch {
      // An empty directory of the kernel's is all that stays.
    }
  }
}
