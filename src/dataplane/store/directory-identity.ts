import { join } from 'node:path';
import { z } from 'zod';
import { PxError } from '../../kernel/errors.js';
import { readIfPresent, writeDurably } from './durable-files.js';

export const identityFileName = 'px-identity.json';

/**
 * What a directory of a pool says of itself. A directory without this file is
 * never written to: the mount point of a device that is not mounted looks just
 * like an empty pool.
 */
const identitySchema = z.object({
  formatVersion: z.literal(1),
  clusterId: z.string().min(1),
  nodeId: z.string().min(1),
  deviceId: z.string().min(1),
  poolId: z.string().min(1),
  class: z.enum(['high', 'medium', 'low']),
});

export type DirectoryIdentity = z.infer<typeof identitySchema>;

/** Undefined when there is no identity file; throws when there is one that can't be understood. */
export function readIdentity(directory: string): DirectoryIdentity | undefined {
  const path = join(directory, identityFileName);
  const text = readIfPresent(path);
  if (text === undefined) return undefined;
  try {
    return identitySchema.parse(JSON.parse(text));
  } catch (error) {
    throw new PxError('device_in_use', `${path} is not an identity of this version`, {}, error);
  }
}

export function writeIdentity(directory: string, identity: DirectoryIdentity): void {
  writeDurably(join(directory, identityFileName), `${JSON.stringify(identity, null, 2)}\n`);
}
