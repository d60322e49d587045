import { renameSync, rmSync } from 'node:fs';
import { join } from 'node:path';
import { PxError } from '../../kernel/errors.js';
import { fdatasync } from '../sys/files.js';
import { must } from '../sys/libc.js';
import { cloneSegments, type SnapshotMethod } from './clone-segments.js';
import { syncDirectory, writeDurably } from './durable-files.js';
import { beginBuilding, finishBuilding } from './replica-catalog.js';
import {
  encodeMeta,
  findReplica,
  namesIn,
  requireMembers,
  type StoredMeta,
} from './replica-meta.js';
import {
  memberFileName,
  metaFileName,
  removedFileName,
  replicaDirectory,
  replicasDirectoryName,
} from './replica-paths.js';

interface DirectoryName {
  readonly path: string;
  readonly id: string;
}

/** What a sync worker does besides fdatasync: all of it ends durable or has no effect. */
export type TextJob = SaveMetaJob | CopyToJob | CopyFromJob;

export interface SaveMetaJob {
  readonly type: 'save_meta';
  /** The replica's directory at home. */
  readonly directory: string;
  readonly stored: StoredMeta;
  /** The marks, which must be durable at their new length before the size is; -1: they are. */
  readonly marksFd: number;
}

export interface CopyToJob {
  readonly type: 'copy_to';
  readonly directories: readonly DirectoryName[];
  readonly method: SnapshotMethod;
  readonly homePath: string;
  readonly source: StoredMeta;
  readonly bootId: string;
  readonly targetVolumeId: string;
  readonly targetReplicaId: string;
}

export interface CopyFromJob {
  readonly type: 'copy_from';
  readonly directories: readonly DirectoryName[];
  readonly method: SnapshotMethod;
  readonly homePath: string;
  readonly own: StoredMeta;
  readonly sourceVolumeId: string;
}

export function runTextJob(text: string): void {
  const job = JSON.parse(text) as TextJob;
  switch (job.type) {
    case 'save_meta':
      return saveMeta(job);
    case 'copy_to':
      return copyTo(job);
    case 'copy_from':
      return copyFrom(job);
  }
}

function saveMeta(job: SaveMetaJob): void {
  if (job.marksFd >= 0) must(fdatasync(job.marksFd), 'fdatasync of the marks');
  writeDurably(join(job.directory, metaFileName), encodeMeta(job.stored));
}

/** Makes another volume's replica out of this one's content, in place of an earlier attempt. */
function copyTo(job: CopyToJob): void {
  const { source, targetVolumeId: volumeId, targetReplicaId: replicaId } = job;
  const earlier = findReplica(job, volumeId, replicaId);
  if (earlier !== undefined) {
    // One that was attached since may hold what somebody wrote to it.
    if (earlier.stored.epoch > 0) {
      throw new PxError('already_exists', `replica ${replicaId} has been in use: not replaced`);
    }
    const directory = replicaDirectory(earlier.home.path, volumeId, replicaId);
    renameSync(join(directory, metaFileName), join(directory, removedFileName));
    syncDirectory(directory);
  }
  beginBuilding(job, job.homePath, volumeId, replicaId);
  const target = { volumeId, replicaId, generation: 1 };
  const members = cloneSegments(job.directories, source, target, job.method, () => undefined);
  const stored: StoredMeta = {
    formatVersion: 1,
    clusterId: source.clusterId,
    volumeId,
    replicaId,
    epoch: 0,
    token: '',
    sizeBytes: source.sizeBytes,
    blank: false,
    lossy: false,
    bootId: job.bootId,
    generation: 1,
    segmentBytes: source.segmentBytes,
  };
  const home = job.directories.find(({ path }) => path === job.homePath);
  const ids = new Set(home === undefined ? members : [home.id, ...members]);
  finishBuilding(replicaDirectory(job.homePath, volumeId, replicaId), stored, [...ids]);
}

/** Builds the next generation from the source's segments; meta.json then switches to it. */
function copyFrom(job: CopyFromJob): void {
  const { own } = job;
  const source = onlyReplicaOf(job, job.sourceVolumeId);
  if (source.clusterId !== own.clusterId) {
    throw new PxError('invalid_argument', 'the source belongs to another cluster');
  }
  if (source.sizeBytes > own.sizeBytes) {
    throw new PxError('invalid_argument', 'the source is larger than the replica');
  }
  const next = { ...own, generation: own.generation + 1, segmentBytes: source.segmentBytes };
  const generationPath = (path: string, generation: number): string =>
    join(replicaDirectory(path, own.volumeId, own.replicaId), String(generation));
  const remove = (generation: number): void => {
    for (const { path } of job.directories) {
      rmSync(generationPath(path, generation), { recursive: true, force: true });
    }
  };
  // An earlier attempt may have ended in the middle.
  remove(next.generation);
  const home = replicaDirectory(job.homePath, own.volumeId, own.replicaId);
  cloneSegments(job.directories, source, next, job.method, (id) =>
    writeDurably(join(home, memberFileName(id)), ''),
  );
  writeDurably(join(home, metaFileName), encodeMeta(next));
  try {
    remove(own.generation);
  } catch {
    // The next opening removes it.
  }
}

function onlyReplicaOf(job: CopyFromJob, volumeId: string): StoredMeta {
  const names = new Set<string>();
  for (const { path } of job.directories) {
    for (const name of namesIn(join(path, replicasDirectoryName, volumeId))) names.add(name);
  }
  const found = [...names]
    .map((replicaId) => findReplica(job, volumeId, replicaId))
    .filter((replica) => replica !== undefined);
  const [only, other] = found;
  if (only === undefined || other !== undefined) {
    throw new PxError('not_found', `this pool has ${found.length} replicas of volume ${volumeId}`);
  }
  requireMembers(job, only);
  return only.stored;
}
