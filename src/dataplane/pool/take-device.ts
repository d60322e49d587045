import { randomUUID } from 'node:crypto';
import { readdirSync } from 'node:fs';
import { join } from 'node:path';
import { PxError, toPxError } from '../../kernel/errors.js';
import {
  identityFileName,
  readIdentity,
  writeIdentity,
  type DirectoryIdentity,
} from '../store/directory-identity.js';
import { replicasDirectoryName, trashDirectoryName } from '../store/replica-paths.js';
import { exclusiveUseProblem, mountPointsOf, type DeviceFacts } from './block-device.js';
import type { PoolClass, PoolDeps } from './contracts.js';
import { lookInside, mountDevice, mountPointOf, unmount } from './device-mount.js';
import type { DeviceRegistry, RegisteredDevice } from './device-registry.js';
import { probeSignature } from './signature.js';

/** The label of every file system we make; how one of another node is recognised. */
export const fileSystemLabel = 'px-pool';

const mkfsTimeoutMs = 300_000;

export interface TakeContext {
  readonly deps: PoolDeps;
  readonly clusterId: string;
  readonly nodeId: string;
  readonly dataDir: string;
  readonly force: boolean;
  readonly registry: DeviceRegistry;
}

/** What a look at a device says may be done with it. */
export type Verdict =
  /** Ours, mounted at `directory`. */
  | { readonly verdict: 'ours'; readonly directory: string; readonly identity: DirectoryIdentity }
  /** May be formatted: it is empty, half-made by us, or `force` was given. */
  | { readonly verdict: 'fresh'; readonly resume?: RegisteredDevice; readonly overwrite: boolean }
  | { readonly verdict: 'refused'; readonly reason: string };

const refused = (reason: string): Verdict => ({ verdict: 'refused', reason });

/** Adopts a device that is ours, and decides about any other. Formats nothing. */
export async function judgeDevice(context: TakeContext, device: DeviceFacts): Promise<Verdict> {
  const { deps, registry } = context;
  const mounted = mountPointsOf(device.deviceNumber);
  if (mounted.length > 0) return judgeMounted(context, mounted);
  const problem = device.inUse === '' ? exclusiveUseProblem(device.realPath) : device.inUse;
  if (problem !== '') return refused(problem);
  const signature = await probeSignature(deps.run, device.realPath, device.sizeBytes);
  if (signature.found === 'nothing') return { verdict: 'fresh', overwrite: false };
  if (signature.found === 'xfs') {
    const known = registry.get(signature.uuid);
    if (known !== undefined) return judgeKnown(context, device, known);
    if (signature.label === fileSystemLabel) return judgeLabelled(context, device, signature.uuid);
  }
  if (context.force) return { verdict: 'fresh', overwrite: true };
  const what = signature.found === 'xfs' ? 'xfs' : signature.what;
  return refused(`it carries a signature (${what}); only "force" formats it`);
}

/** Makes the file system and its identity. Each step can be interrupted and is found again. */
export async function formatDevice(
  context: TakeContext,
  device: DeviceFacts,
  verdict: Extract<Verdict, { verdict: 'fresh' }>,
  place: { readonly poolId: string; readonly class: PoolClass },
): Promise<{ directory: string; identity: DirectoryIdentity }> {
  const { registry, deps, dataDir } = context;
  const entry: RegisteredDevice = {
    deviceId: verdict.resume?.deviceId ?? randomUUID(),
    poolId: verdict.resume?.poolId ?? place.poolId,
    class: verdict.resume?.class ?? place.class,
    path: device.path,
    sizeBytes: device.sizeBytes,
    state: 'formatting',
  };
  registry.put(entry);
  if (verdict.overwrite) {
    // mkfs leaves the backup of a GPT at the end; partprobe would find it again.
    await deps.run('wipefs', ['--all', '--force', device.realPath], { timeoutMs: 60_000 });
  }
  // Without -f mkfs itself refuses a device on which it finds something.
  const overwrite = verdict.overwrite || verdict.resume !== undefined ? ['-f'] : [];
  const args = [
    '-q',
    ...overwrite,
    '-L',
    fileSystemLabel,
    '-m',
    `reflink=1,uuid=${entry.deviceId}`,
  ];
  await deps.run('mkfs.xfs', [...args, device.realPath], { timeoutMs: mkfsTimeoutMs });
  const directory = mountPointOf(dataDir, entry.deviceId);
  await mountDevice(deps.run, device, directory);
  return { directory, identity: finishIdentity(context, directory, entry) };
}

function finishIdentity(
  context: TakeContext,
  directory: string,
  entry: RegisteredDevice,
): DirectoryIdentity {
  const identity: DirectoryIdentity = {
    formatVersion: 1,
    clusterId: context.clusterId,
    nodeId: context.nodeId,
    deviceId: entry.deviceId,
    poolId: entry.poolId,
    class: entry.class,
  };
  writeIdentity(directory, identity);
  context.registry.put({ ...entry, state: 'made' });
  return identity;
}

/** Mounted by the process before this one, or by a stranger. */
function judgeMounted(context: TakeContext, mountPoints: readonly string[]): Verdict {
  const devices = join(context.dataDir, 'devices');
  const own = mountPoints.find((point) => point.startsWith(`${devices}/`));
  if (own === undefined) return refused(`it is mounted at ${mountPoints.join(', ')}`);
  return withIdentity(context, own);
}

/** The UUID is one that this node chose. */
async function judgeKnown(
  context: TakeContext,
  device: DeviceFacts,
  known: RegisteredDevice,
): Promise<Verdict> {
  const directory = mountPointOf(context.dataDir, known.deviceId);
  try {
    await mountDevice(context.deps.run, device, directory);
  } catch (error) {
    // Nobody can have written to a file system that never had its identity.
    if (known.state === 'formatting') return { verdict: 'fresh', resume: known, overwrite: false };
    return refused(`it is ours but does not mount: ${toPxError(error).message}`);
  }
  const verdict = withIdentity(context, directory);
  if (verdict.verdict === 'refused') await unmount(context.deps.run, directory);
  return verdict;
}

/** One of a px-node, but not one that this node remembers. */
async function judgeLabelled(
  context: TakeContext,
  device: DeviceFacts,
  uuid: string,
): Promise<Verdict> {
  const { run } = context.deps;
  const glance = join(context.dataDir, 'devices', `glance-${uuid}`);
  let identity: DirectoryIdentity | undefined;
  try {
    identity = await lookInside(run, device, glance, readIdentity);
  } catch (error) {
    return refused(`its file system can't be read: ${toPxError(error).message}`);
  }
  if (identity === undefined) return refused('it is another node’s and has no identity yet');
  const foreign = foreignOwner(context, identity);
  if (foreign !== '') return refused(foreign);
  const directory = mountPointOf(context.dataDir, identity.deviceId);
  await mountDevice(run, device, directory);
  return withIdentity(context, directory);
}

/** Reads the identity of a mounted file system of ours, and completes a missing one. */
function withIdentity(context: TakeContext, directory: string): Verdict {
  try {
    const identity = readIdentity(directory) ?? completeIdentity(context, directory);
    const foreign = foreignOwner(context, identity);
    if (foreign !== '') return refused(foreign);
    return { verdict: 'ours', directory, identity };
  } catch (error) {
    return refused(toPxError(error).message);
  }
}

/** A crash came between mkfs and the identity file. */
function completeIdentity(context: TakeContext, directory: string): DirectoryIdentity {
  const entry = context.registry
    .all()
    .find(({ deviceId }) => mountPointOf(context.dataDir, deviceId) === directory);
  const ours = [replicasDirectoryName, trashDirectoryName, `${identityFileName}.tmp`];
  const strange = readdirSync(directory).filter((name) => !ours.includes(name));
  if (entry?.state !== 'formatting' || strange.length > 0) {
    throw new PxError('device_in_use', `${directory} has lost its ${identityFileName}`);
  }
  return finishIdentity(context, directory, entry);
}

function foreignOwner(context: TakeContext, identity: DirectoryIdentity): string {
  if (identity.clusterId !== context.clusterId) {
    return `it belongs to cluster ${identity.clusterId}; wipe it by hand to use it here`;
  }
  if (identity.nodeId !== context.nodeId) {
    return `it belongs to node ${identity.nodeId} of this cluster`;
  }
  return '';
}
