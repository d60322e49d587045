import { PxError, toPxError } from '../kernel/errors.js';
import type { NodeStatus__Output } from '../gen/px/v1/NodeStatus.js';
import type { Volume__Output } from '../gen/px/v1/Volume.js';
import type { NodeApi } from '../platform/grpc-client.js';
import { bytesOf } from './sizes.js';

/** Bounds of the calls to px-node, each for what it may have to do. */
export const pxTimeouts = {
  readMs: 10_000,
  /** A replica is made on every node, or taken away. */
  changeMs: 60_000,
  /** An attach may have to wait out the lease of a dead coordinator and settle its writes. */
  attachMs: 90_000,
  /** Without reflinks a snapshot is a real copy of the data. */
  copyMs: 600_000,
} as const;

/** The volume of this id or name, undefined when there is none. */
export async function lookUpVolume(
  px: NodeApi,
  idOrName: string,
): Promise<Volume__Output | undefined> {
  try {
    return await px.GetVolume({ id_or_name: idOrName }, { timeoutMs: pxTimeouts.readMs });
  } catch (thrown) {
    if (toPxError(thrown).code === 'not_found') return undefined;
    throw thrown;
  }
}

/**
 * px-node finds by id or name; a CSI volume_id is an id only. A volume whose
 * deletion was acknowledged is gone, also while a node that is down still has
 * a replica to remove.
 */
export async function findVolume(px: NodeApi, id: string): Promise<Volume__Output | undefined> {
  const volume = await lookUpVolume(px, id);
  return volume?.id === id && volume.status !== 'deleting' ? volume : undefined;
}

export async function requireVolume(px: NodeApi, id: string): Promise<Volume__Output> {
  const volume = await findVolume(px, id);
  if (volume === undefined) throw new PxError('not_found', `there is no volume "${id}"`, { id });
  return volume;
}

export async function listNodes(px: NodeApi): Promise<NodeStatus__Output[]> {
  return (await px.ListNodes({}, { timeoutMs: pxTimeouts.readMs })).nodes;
}

export function sizeOf(volume: Volume__Output): number {
  return bytesOf(volume.spec?.size_bytes, `the size of volume "${volume.id}"`);
}

/** A snapshot is a read-only volume with a parent. */
export function isSnapshot(volume: Volume__Output): boolean {
  return volume.read_only && volume.parent_id !== '';
}

/** Whether its content is complete and it is not on its way out. */
export function isReady(volume: Volume__Output): boolean {
  return volume.status !== 'creating' && volume.status !== 'deleting';
}

/** A required field of a request. */
export function required(value: string, field: string): string {
  if (value === '') throw new PxError('invalid_argument', `${field} is missing`, { field });
  return value;
}

/** For CSI a policy that is not there is a wrong parameter; NOT_FOUND would speak of the volume. */
export async function policyIsArgument<T>(call: Promise<T>): Promise<T> {
  try {
    return await call;
  } catch (thrown) {
    const { code, message } = toPxError(thrown);
    if (code !== 'not_found' || !message.includes('storage_policy: ')) throw thrown;
    const said = message.replace('storage_policy: ', 'parameter "storagepolicy": ');
    throw new PxError('invalid_argument', said);
  }
}
