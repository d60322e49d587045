import { isAbsolute, normalize } from 'node:path';
import { PxError } from '../../kernel/errors.js';
import type { FilesystemTool } from '../../platform/block/filesystem.js';
import type { Mounter } from '../../platform/block/mounter.js';
import type { NodeApi } from '../../platform/grpc-client.js';
import type { Logger } from '../../platform/logger.js';
import { pxTimeouts, required } from '../px-volumes.js';
import type { TopologyKeys } from '../topology.js';
import type { VolumeLocks } from '../volume-locks.js';

/** What every group of node calls works with. */
export interface NodeContext {
  readonly px: NodeApi;
  readonly locks: VolumeLocks;
  readonly mounter: Mounter;
  readonly filesystems: FilesystemTool;
  readonly topology: TopologyKeys;
  readonly logger: Logger;
  /** 0: as many as the orchestrator likes. */
  readonly maxVolumesPerNode: number;
  /** Where the device comes from: FUSE and a loop device, or the kernel's nbd (nbd alone gives no device). */
  readonly frontend: 'fuse' | 'nbd' | 'nbd-device';
}

/** Asked each time: px-node is the authority on who this node is, and may start after us. */
export async function ownNodeId(context: NodeContext): Promise<string> {
  return (await context.px.GetStatus({}, { timeoutMs: pxTimeouts.readMs })).id;
}

/** A path that the orchestrator hands in; nothing but a plain absolute path is followed. */
export function absolutePath(path: string, field: string): string {
  required(path, field);
  const plain = normalize(path).replace(/(.)\/+$/, '$1');
  if (!isAbsolute(path) || path.split('/').includes('..') || plain === '/') {
    throw new PxError(
      'invalid_argument',
      `${field} "${path}" must be an absolute path without ".."`,
    );
  }
  return plain;
}
