import { statfs } from 'node:fs/promises';
import type { NodeGetVolumeHealthRequest__Output } from '../../gen/csi/v1/NodeGetVolumeHealthRequest.js';
import type { NodeGetVolumeStatsRequest__Output } from '../../gen/csi/v1/NodeGetVolumeStatsRequest.js';
import type { NodeGetVolumeStatsResponse } from '../../gen/csi/v1/NodeGetVolumeStatsResponse.js';
import type { VolumeCondition } from '../../gen/csi/v1/VolumeCondition.js';
import type { Volume__Output } from '../../gen/px/v1/Volume.js';
import type { VolumeUsage } from '../../gen/csi/v1/VolumeUsage.js';
import { PxError } from '../../kernel/errors.js';
import { deviceNumberOf, readBlockDevice } from '../../platform/block/block-device.js';
import { hasStopped, type MountEntry } from '../../platform/block/mountinfo.js';
import { lookUpVolume, required, requireVolume } from '../px-volumes.js';
import { conditionOf, healthOf } from '../volume-health.js';
import { findAttachedDevice } from './attached-device.js';
import type { NodeContext } from './context.js';
import { isEphemeral } from './ephemeral.js';

export function statsHandlers(context: NodeContext) {
  return {
    NodeGetVolumeStats: (request: NodeGetVolumeStatsRequest__Output) =>
      getVolumeStats(context, request),
    NodeGetVolumeHealth: async (request: NodeGetVolumeHealthRequest__Output) => {
      const volume = await requireUsedVolume(context, required(request.volume_id, 'volume_id'));
      const path = request.volume_publish_path || request.staging_target_path;
      const seen = path === '' ? undefined : await conditionAt(context, path);
      return { volume_health: healthOf(volume, seen) };
    },
  };
}

/** By its id, or by the kubelet's when it is a pod's own. */
async function requireUsedVolume(context: NodeContext, id: string): Promise<Volume__Output> {
  const named = await lookUpVolume(context.px, id);
  return named !== undefined && isEphemeral(named, id) ? named : requireVolume(context.px, id);
}

async function getVolumeStats(
  context: NodeContext,
  request: NodeGetVolumeStatsRequest__Output,
): Promise<NodeGetVolumeStatsResponse> {
  const id = required(request.volume_id, 'volume_id');
  const path = required(request.volume_path, 'volume_path');
  const volume = await requireUsedVolume(context, id);
  const entry = path.startsWith('/') ? await context.mounter.at(path) : undefined;
  if (entry === undefined) throw notPublished(id, path);
  const state = await context.mounter.inspect(path);
  if (state.kind === 'missing') throw notPublished(id, path);
  const condition = conditionOf(volume);
  if (state.kind === 'corrupted') {
    return { usage: [], volume_condition: mountCondition(entry, state.code) };
  }
  const device = await findAttachedDevice(context, volume);
  const isRaw = state.stats.isBlockDevice();
  const shown = isRaw ? deviceNumberOf(state.stats) : entry.device;
  if (device !== undefined && shown !== device.number) throw notPublished(id, path);
  const mounted = mountCondition(entry);
  return {
    usage: isRaw ? await rawUsage(path) : await filesystemUsage(path),
    volume_condition: mounted.abnormal === true ? mounted : condition,
  };
}

function notPublished(id: string, path: string): PxError {
  return new PxError('not_found', `volume "${id}" is not published at "${path}"`, { id, path });
}

async function conditionAt(context: NodeContext, path: string): Promise<VolumeCondition> {
  const entry = await context.mounter.at(path);
  if (entry === undefined) return { abnormal: true, message: `nothing is mounted at ${path}` };
  const state = await context.mounter.inspect(path);
  return mountCondition(entry, state.kind === 'corrupted' ? state.code : undefined);
}

function mountCondition(entry: MountEntry, errorCode?: string): VolumeCondition {
  if (errorCode !== undefined) {
    return { abnormal: true, message: `the mount at ${entry.mountPoint} answers ${errorCode}` };
  }
  if (hasStopped(entry)) {
    return {
      abnormal: true,
      message: `the file system at ${entry.mountPoint} stopped writing after an I/O error`,
    };
  }
  return { abnormal: false, message: 'mounted' };
}

async function rawUsage(path: string): Promise<VolumeUsage[]> {
  return [{ unit: 'BYTES', total: (await readBlockDevice(path)).sizeBytes }];
}

async function filesystemUsage(path: string): Promise<VolumeUsage[]> {
  const fs = await statfs(path);
  return [
    {
      unit: 'BYTES',
      total: fs.blocks * fs.bsize,
      available: fs.bavail * fs.bsize,
      used: (fs.blocks - fs.bfree) * fs.bsize,
    },
    { unit: 'INODES', total: fs.files, available: fs.ffree, used: fs.files - fs.ffree },
  ];
}
