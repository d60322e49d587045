import { rmSync } from 'node:fs';
import { join } from 'node:path';
import { PxError, toPxError } from '../../kernel/errors.js';
import { identityFileName, readIdentity } from '../store/directory-identity.js';
import { replicasDirectoryName, trashDirectoryName } from '../store/replica-paths.js';
import {
  exclusiveUseProblem,
  listDisks,
  readDeviceFacts,
  type DeviceFacts,
} from './block-device.js';
import type { PoolDeps, PoolsConfig } from './contracts.js';
import { lookInside, mountDevice, mountPointOf, unmount } from './device-mount.js';
import { DeviceRegistry, type RegisteredDevice } from './device-registry.js';
import { probeSignature } from './signature.js';
import { fileSystemLabel } from './take-device.js';

export type WipeOutcome =
  | { readonly outcome: 'wiped' | 'empty' }
  /** Not a pool of this node, or nobody can tell. */
  | { readonly outcome: 'left'; readonly reason: string };

type WipeConfig = Pick<
  PoolsConfig,
  'clusterId' | 'nodeId' | 'dataDir' | 'devices' | 'useAll' | 'directories'
>;

const wipeTimeoutMs = 60_000;

/**
 * Takes the pools of this node off their devices: exactly of those that say
 * themselves that they are this node's of this cluster. Whatever says
 * something else, or nothing clear, is left as it is. The pools must be
 * unmounted; can be repeated after a crash at any line.
 */
export async function wipeDevices(config: WipeConfig, deps: PoolDeps): Promise<void> {
  const registry = new DeviceRegistry(config.dataDir, deps.log);
  const seen = new Set<string>();
  for (const path of candidates(config, registry)) {
    const device = factsOf(path);
    if (device === undefined || seen.has(device.deviceNumber)) continue;
    seen.add(device.deviceNumber);
    tell(deps, path, await wipeDevice(config, registry, device, deps));
  }
  for (const { path } of config.directories) tell(deps, path, wipeDirectory(config, path));
}

/** Names of devices change between boots: where one of ours was last is only one more place to look. */
function candidates(config: WipeConfig, registry: DeviceRegistry): string[] {
  return [
    ...config.devices.map(({ path }) => path),
    ...registry.all().map(({ path }) => path),
    ...(config.useAll ? listDisks() : []),
  ];
}

function factsOf(path: string): DeviceFacts | undefined {
  try {
    return readDeviceFacts(path);
  } catch {
    // It went away with all that was on it.
    return undefined;
  }
}

async function wipeDevice(
  config: WipeConfig,
  registry: DeviceRegistry,
  device: DeviceFacts,
  deps: PoolDeps,
): Promise<WipeOutcome> {
  const signature = await probeSignature(deps.run, device.realPath, device.sizeBytes);
  if (signature.found === 'nothing') return { outcome: 'empty' };
  if (signature.found === 'foreign') return left(`it carries ${signature.what}`);
  if (signature.label !== fileSystemLabel) return left('its file system is not of px');
  const known = registry.get(signature.uuid);
  const problem = device.inUse === '' ? exclusiveUseProblem(device.realPath) : device.inUse;
  if (problem !== '' && known === undefined) return left(problem);
  // Without it the node's identity must stay, or nobody could tell later whose the device is.
  if (problem !== '') throw new PxError('device_in_use', `${device.path} is not wiped: ${problem}`);
  const stranger = await strangerOn(config, device, known, deps, signature.uuid);
  if (stranger !== '') return left(stranger);
  // Without --force wipefs itself opens the device exclusively, so nobody mounts it meanwhile.
  await deps.run('wipefs', ['--all', device.realPath], { timeoutMs: wipeTimeoutMs });
  return { outcome: 'wiped' };
}

/** '' when the file system is this node's, else why it is not to be touched. */
async function strangerOn(
  config: WipeConfig,
  device: DeviceFacts,
  known: RegisteredDevice | undefined,
  deps: PoolDeps,
  uuid: string,
): Promise<string> {
  try {
    const identity =
      known === undefined
        ? await lookInside(deps.run, device, glanceOf(config, uuid), readIdentity)
        : await readKnown(config, device, known, deps);
    if (identity === undefined) {
      // Nobody else can have made a file system with a UUID that this node chose for it.
      return known?.state === 'formatting' ? '' : 'it has no identity';
    }
    return foreignOwner(config, identity);
  } catch (error) {
    if (known?.state === 'formatting') return '';
    return `it cannot be read: ${toPxError(error).message}`;
  }
}

/** With its log replayed: what was written last counts. */
async function readKnown(
  { dataDir }: WipeConfig,
  device: DeviceFacts,
  known: RegisteredDevice,
  { run }: PoolDeps,
) {
  const mountPoint = mountPointOf(dataDir, known.deviceId);
  await mountDevice(run, device, mountPoint);
  try {
    return readIdentity(mountPoint);
  } finally {
    await unmount(run, mountPoint);
  }
}

function wipeDirectory(config: WipeConfig, path: string): WipeOutcome {
  try {
    const identity = readIdentity(path);
    if (identity === undefined) return { outcome: 'empty' };
    const owner = foreignOwner(config, identity);
    if (owner !== '') return left(owner);
  } catch (error) {
    return left(toPxError(error).message);
  }
  // The identity goes last: until then the rest can still be known as ours.
  for (const name of [replicasDirectoryName, trashDirectoryName, identityFileName]) {
    rmSync(join(path, name), { recursive: true, force: true });
  }
  return { outcome: 'wiped' };
}

function foreignOwner(
  { clusterId, nodeId }: WipeConfig,
  identity: { readonly clusterId: string; readonly nodeId: string },
): string {
  if (identity.clusterId !== clusterId) return `it belongs to cluster ${identity.clusterId}`;
  return identity.nodeId === nodeId ? '' : `it belongs to node ${identity.nodeId}`;
}

function glanceOf({ dataDir }: WipeConfig, uuid: string): string {
  return join(dataDir, 'devices', `glance-${uuid}`);
}

function left(reason: string): WipeOutcome {
  return { outcome: 'left', reason };
}

function tell({ log }: PoolDeps, path: string, result: WipeOutcome): void {
  if (result.outcome === 'wiped') log.info('a device was wiped', { path });
  if (result.outcome === 'left') log.warn('a device is left as it is', { path, ...result });
}
