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

const identitySchema = z.object({
  clusterId: z.string().min(1),
  nodeId: z.string().min(1),
  /** Of the cluster in the kvdb, once this node has joined it. */
  clusterUuid: z.string().optional(),
});

export type NodeIdentity = z.infer<typeof identitySchema>;

/**
 * Who this node is, for good: kept in its data directory, made at the first
 * start. A directory that belongs to another cluster is refused, as its
 * replicas would be taken for those of this one.
 */
export function openIdentity(dataDir: string, clusterId: string): NodeIdentity {
  mkdirSync(dataDir, { recursive: true, mode: 0o700 });
  const file = identityFile(dataDir);
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

/** The identity that the directory has; none when it has none. */
export function readOwnIdentity(dataDir: string): NodeIdentity | undefined {
  const file = identityFile(dataDir);
  return existsSync(file) ? parseIdentity(readFileSync(file, 'utf8'), file) : undefined;
}

/**
 * Two clusters may have one name, and a kvdb may be wiped: to a cluster that
 * knows nothing of them this node's replicas would be orphans.
 */
export function confirmCluster(dataDir: string, clusterUuid: string): void {
  const file = identityFile(dataDir);
  const identity = parseIdentity(readFileSync(file, 'utf8'), file);
  if (identity.clusterUuid === clusterUuid) return;
  if (identity.clusterUuid !== undefined) {
    throw new PxError(
      'failed_precondition',
      `the kvdb holds another cluster "${identity.clusterId}" (${clusterUuid}) than the one ` +
        `this node belongs to (${identity.clusterUuid}): set kvdb right, or restore its data`,
    );
  }
  writeDurably(file, JSON.stringify({ ...identity, clusterUuid }));
}

function identityFile(dataDir: string): string {
  return join(dataDir, 'identity.json');
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
