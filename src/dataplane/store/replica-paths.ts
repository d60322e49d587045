import { join } from 'node:path';
import { PxError } from '../../kernel/errors.js';

/**
 * Where a replica's files lie. One directory of the pool, its home, has:
 *
 *     replicas/<volume>/<replica>/meta.json   the commit point: without it there is no replica
 *                                /marks       the dirty marks
 *                                /on.<id>     one a directory that may hold segments
 *                                /building    being made; cleared away unless meta.json came
 *                                /removed     being removed
 *
 * and every directory with segments has `replicas/<volume>/<replica>/<generation>/<index>.seg`.
 * A new generation replaces the content at the moment when meta.json names it.
 */
export const metaFileName = 'meta.json';
export const marksFileName = 'marks';
export const buildingFileName = 'building';
export const removedFileName = 'removed';
export const replicasDirectoryName = 'replicas';
export const trashDirectoryName = 'trash';
const memberPrefix = 'on.';
const segmentSuffix = '.seg';

export function replicaDirectory(directory: string, volumeId: string, replicaId: string): string {
  return join(directory, replicasDirectoryName, checkName(volumeId), checkName(replicaId));
}

export function memberFileName(directoryId: string): string {
  return `${memberPrefix}${checkName(directoryId)}`;
}

/** The directory id that a file of the home directory names, or undefined. */
export function memberOf(fileName: string): string | undefined {
  return fileName.startsWith(memberPrefix) ? fileName.slice(memberPrefix.length) : undefined;
}

export function segmentFileName(index: number): string {
  return `${index}${segmentSuffix}`;
}

export function segmentIndexOf(fileName: string): number | undefined {
  const match = /^(0|[1-9][0-9]*)\.seg$/.exec(fileName);
  return match === null ? undefined : Number(match[1]);
}

export function isGeneration(fileName: string): boolean {
  return /^[1-9][0-9]*$/.test(fileName);
}

/** Identifiers become file names: nothing that could lead elsewhere. */
function checkName(id: string): string {
  if (/^[A-Za-z0-9][A-Za-z0-9._-]{0,199}$/.test(id)) return id;
  throw new PxError('invalid_argument', `not an identifier: ${JSON.stringify(id)}`);
}
