import { randomUUID } from 'node:crypto';
import {
  closeSync,
  existsSync,
  fsyncSync,
  mkdirSync,
  openSync,
  readFileSync,
  renameSync,
  writeSync,
} from 'node:fs';
import { join } from 'node:path';
import { z } from 'zod';
import { PxError } from '../../kernel/errors.js';

const identitySchema = z.object({ clusterId: z.string().min(1), nodeId: z.string().min(1) });

export type NodeIdentity = z.infer<typeof identitySchema>;

/**
 * Who this node is, for good: kept in its data directory, made at the first
 * start. A directory that belongs to another cluster is refused, as its
 * replicas would be taken for those of this one.
 */
export function openIdentity(dataDir: string, clusterId: string): NodeIdentity {
  mkdirSync(dataDir, { recursive: true, mode: 0o700 });
  const file = join(dataDir, 'identity.json');
  if (existsSync(file)) {
    const identity = parseIdentity(readFileSync(file, 'utf8'), file);
    if (identity.clusterId !== clusterId) {
      throw new PxError(
        'failed_precondition',
        `${dataDir} belongs to cluster "${identity.clusterId}", and clusterid is "${clusterId}": ` +
          'set clusterid right, or give this node an empty data directory',
      );
    }
    return identity;
  }
  const identity = { clusterId, nodeId: randomUUID() };
  writeDurably(file, JSON.stringify(identity));
  return identity;
}

function parseIdentity(text: string, file: string): NodeIdentity {
  try {
    return identitySchema.parse(JSON.parse(text));
  } catch (error) {
    throw new PxError('failed_precondition', `${file} is damaged; restore it`, {}, error);
  }
}

function writeDurably(file: string, text: string): void {
  const temporary = `${file}.new`;
  const descriptor = openSync(temporary, 'w', 0o600);
  writeSync(descriptor, text);
  fsyncSync(descriptor);
  closeSync(descriptor);
  renameSync(temporary, file);
  const directory = openSync(join(file, '..'), 'r');
  fsyncSync(directory);
  closeSync(directory);
}
