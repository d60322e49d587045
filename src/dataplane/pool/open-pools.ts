import { randomUUID } from 'node:crypto';
import { existsSync, mkdirSync, realpathSync } from 'node:fs';
import { PxError, toPxError } from '../../kernel/errors.js';
import { readIdentity, writeIdentity } from '../store/directory-identity.js';
import { listDisks, readDeviceFacts, type DeviceFacts } from './block-device.js';
import { capacityOf, noCapacity } from './capacity.js';
import { classify, type ReadSpeed } from './classify.js';
import type {
  DeviceEntry,
  DriveView,
  PoolClass,
  PoolDeps,
  PoolSet,
  PoolsConfig,
} from './contracts.js';
import { DeviceRegistry } from './device-registry.js';
import { probeDirectory } from './directory-probe.js';
import { DrivePools, type Drive } from './drive-pools.js';
import { benchmarkReads } from './read-benchmark.js';
import { formatDevice, judgeDevice, type TakeContext, type Verdict } from './take-device.js';

const notHere = 'there is no such device on this node';
const unmeasured: ReadSpeed = { readBytesPerSecond: 0, readIops: 0 };

/** A device that may be formatted, measured. */
interface Candidate {
  readonly device: DeviceFacts;
  readonly wished: PoolClass | undefined;
  readonly verdict: Extract<Verdict, { verdict: 'fresh' }>;
  readonly speed: ReadSpeed;
}

/**
 * Adopts what is ours, formats what is free and asked for, refuses the rest
 * with a reason. Rejects only when the configuration itself can't be met (the
 * data directory can't be written); one bad device never hides the others.
 */
export async function openPools(config: PoolsConfig, deps: PoolDeps): Promise<PoolSet> {
  const registry = new DeviceRegistry(config.dataDir, deps.log);
  // The kernel shows mount points without links, and they are compared.
  const dataDir = realpathSync(config.dataDir);
  const { clusterId, nodeId, force } = config;
  const context: TakeContext = { deps, clusterId, nodeId, dataDir, force, registry };
  const drives: Drive[] = [];
  const candidates: Candidate[] = [];
  const explicit = new Set(config.devices.map(({ path }) => realPathOf(path)));
  const others = config.useAll ? listDisks().filter((path) => !explicit.has(path)) : [];
  for (const entry of config.devices) {
    await consider(context, entry, true, drives, candidates);
  }
  for (const path of others) await consider(context, { path }, false, drives, candidates);
  await takeCandidates(context, candidates, drives);
  for (const entry of config.directories) drives.push(openDirectory(context, entry));
  addMissing(registry, drives);
  if (drives.length > 0 && drives.every(({ absent }) => absent)) {
    const devices = drives.map(({ path }) => path);
    deps.log.warn('none of the named devices is here: this node stores nothing', { devices });
  }
  return new DrivePools(drives, deps.log);
}

/** `asked`: the configuration names the device, so that a refusal is worth telling. */
async function consider(
  context: TakeContext,
  entry: DeviceEntry,
  asked: boolean,
  drives: Drive[],
  candidates: Candidate[],
): Promise<void> {
  const { log } = context.deps;
  let device: DeviceFacts | undefined;
  let reason: string;
  if (asked && !existsSync(entry.path)) {
    log.info('a device is not here', { path: entry.path });
    drives.push({ ...refusedDrive(entry.path, undefined, notHere), absent: true });
    return;
  }
  try {
    device = readDeviceFacts(entry.path);
    if (drives.some((drive) => drive.deviceNumber === device?.deviceNumber)) return;
    if (candidates.some((other) => other.device.deviceNumber === device?.deviceNumber)) return;
    const verdict = await judgeDevice(context, device);
    if (verdict.verdict === 'ours') {
      const { directory, identity } = verdict;
      drives.push(onlineDrive(device, directory, identity, entry.class, unmeasured));
      rememberAdopted(context, device, identity);
      return;
    }
    if (verdict.verdict === 'fresh') {
      const speed = await benchmarkReads(device.realPath, device.sizeBytes);
      candidates.push({ device, wished: entry.class, verdict, speed });
      return;
    }
    reason = verdict.reason;
  } catch (error) {
    reason = toPxError(error).message;
  }
  if (!asked) return log.info('a disk is left alone', { path: entry.path, reason });
  log.warn('a device is refused', { path: entry.path, reason });
  drives.push(refusedDrive(entry.path, device, reason));
}

function rememberAdopted(
  { registry }: TakeContext,
  device: DeviceFacts,
  identity: { deviceId: string; poolId: string; class: PoolClass },
): void {
  const known = registry.get(identity.deviceId);
  if (known?.state === 'made' && known.path === device.path) return;
  const { deviceId, poolId } = identity;
  const { path, sizeBytes } = device;
  registry.put({ deviceId, poolId, class: identity.class, path, sizeBytes, state: 'made' });
}

/** Equal devices are classed together by the best of them: noise must not split a pool. */
async function takeCandidates(
  context: TakeContext,
  candidates: readonly Candidate[],
  drives: Drive[],
): Promise<void> {
  const { log } = context.deps;
  for (const candidate of candidates) {
    const { device, wished, verdict, speed } = candidate;
    const alike = candidates.filter(
      (other) => other.device.media === device.media && other.device.model === device.model,
    );
    const readIops = Math.max(...alike.map((other) => other.speed.readIops));
    const measured = classify({ ...device, ...speed, readIops });
    const poolClass = wished ?? verdict.resume?.class ?? measured;
    try {
      const poolId = poolFor(context.registry, poolClass, drives);
      const place = { poolId, class: poolClass };
      const { directory, identity } = await formatDevice(context, device, verdict, place);
      log.info('a device was formatted', { path: device.path, ...identity });
      drives.push(onlineDrive(device, directory, identity, wished, speed));
    } catch (error) {
      const reason = `making its file system failed: ${toPxError(error).message}`;
      log.error('a device is refused', { path: device.path, reason });
      drives.push(refusedDrive(device.path, device, reason));
    }
  }
}

/** The node's pool of that class, also one whose devices are all missing now, or a new one. */
function poolFor(registry: DeviceRegistry, poolClass: PoolClass, drives: readonly Drive[]): string {
  const same = drives.find(
    (drive) => drive.kind === 'device' && drive.poolId !== '' && drive.class === poolClass,
  );
  const known = registry.all().find((entry) => entry.state === 'made' && entry.class === poolClass);
  return same?.poolId ?? known?.poolId ?? randomUUID();
}

function openDirectory(context: TakeContext, entry: DeviceEntry): Drive {
  const { log } = context.deps;
  try {
    mkdirSync(entry.path, { recursive: true, mode: 0o700 });
    const directory = realpathSync(entry.path);
    const identity = readIdentity(directory) ?? {
      formatVersion: 1 as const,
      clusterId: context.clusterId,
      nodeId: context.nodeId,
      deviceId: randomUUID(),
      poolId: randomUUID(),
      class: entry.class ?? classify({ media: 'directory', rotational: false, ...unmeasured }),
    };
    if (identity.clusterId !== context.clusterId || identity.nodeId !== context.nodeId) {
      const owner = `node ${identity.nodeId} of cluster ${identity.clusterId}`;
      throw new PxError('device_in_use', `it belongs to ${owner}`);
    }
    const snapshotMethod = probeDirectory(directory);
    writeIdentity(directory, identity);
    return {
      ...refusedDrive(entry.path, undefined, ''),
      id: identity.deviceId,
      poolId: identity.poolId,
      sizeBytes: capacityOf(directory).totalBytes,
      class: entry.class ?? identity.class,
      media: 'directory',
      state: 'online',
      kind: 'directory',
      directory,
      snapshotMethod,
    };
  } catch (error) {
    const reason = toPxError(error).message;
    log.warn('a directory is refused', { path: entry.path, reason });
    return { ...refusedDrive(entry.path, undefined, reason), media: 'directory' };
  }
}

/** Devices of ours that did not appear: their pools are incomplete, and everybody should know. */
function addMissing(registry: DeviceRegistry, drives: Drive[]): void {
  for (const entry of registry.all()) {
    if (entry.state !== 'made' || drives.some((drive) => drive.id === entry.deviceId)) continue;
    drives.push({
      ...refusedDrive(entry.path, undefined, 'it is ours but was not found'),
      id: entry.deviceId,
      poolId: entry.poolId,
      sizeBytes: entry.sizeBytes,
      class: entry.class,
      state: 'offline',
    });
  }
}

function onlineDrive(
  device: DeviceFacts,
  directory: string,
  identity: { deviceId: string; poolId: string; class: PoolClass },
  wished: PoolClass | undefined,
  speed: ReadSpeed,
): Drive {
  return {
    ...refusedDrive(device.path, device, ''),
    ...speed,
    id: identity.deviceId,
    poolId: identity.poolId,
    class: wished ?? identity.class,
    state: 'online',
    directory,
  };
}

function refusedDrive(path: string, device: DeviceFacts | undefined, reason: string): Drive {
  const view: DriveView = {
    path,
    id: '',
    poolId: '',
    sizeBytes: device?.sizeBytes ?? 0,
    usedBytes: 0,
    class: 'low',
    media: device?.media ?? 'hdd',
    state: 'refused',
    reason,
    absent: false,
    readBytesPerSecond: 0,
    readIops: 0,
  };
  return {
    ...view,
    kind: 'device',
    directory: '',
    snapshotMethod: 'reflink',
    deviceNumber: device?.deviceNumber ?? '',
    capacity: noCapacity,
  };
}

function realPathOf(path: string): string {
  try {
    return realpathSync(path);
  } catch {
    return path;
  }
}
