import { join } from 'node:path';
import { cloneFile, copyRange } from '../sys/reflink.js';
import {
  closeFile,
  fsync,
  ftruncate,
  openFile,
  OpenFlag,
  seekData,
  seekEnd,
  seekHole,
} from '../sys/files.js';
import { Errno, must } from '../sys/libc.js';
import { makeDirectoryDurably, syncDirectory } from './durable-files.js';
import { namesIn } from './replica-meta.js';
import { replicaDirectory, replicasDirectoryName, segmentIndexOf } from './replica-paths.js';

export type SnapshotMethod = 'reflink' | 'copy';

export interface ReplicaGeneration {
  readonly volumeId: string;
  readonly replicaId: string;
  readonly generation: number;
}

/** Bytes of one copy_file_range call: long enough to be efficient, short enough to be interrupted. */
const copyPieceBytes = 16 * 1024 * 1024;

/**
 * Copies all segments into another replica's (or generation's) directories,
 * each within its own device, and makes them and their names durable. Answers
 * with the ids of the directories that have segments. `before` is called with
 * each of them before anything is made there.
 */
export function cloneSegments(
  directories: readonly { readonly path: string; readonly id: string }[],
  source: ReplicaGeneration,
  target: ReplicaGeneration,
  method: SnapshotMethod,
  before: (directoryId: string) => void,
): string[] {
  const used: string[] = [];
  for (const { path, id } of directories) {
    const from = join(
      replicaDirectory(path, source.volumeId, source.replicaId),
      String(source.generation),
    );
    const names = namesIn(from).filter((name) => segmentIndexOf(name) !== undefined);
    if (names.length === 0) continue;
    before(id);
    const to = makeDirectoryDurably(
      path,
      replicasDirectoryName,
      target.volumeId,
      target.replicaId,
      String(target.generation),
    );
    for (const name of names) cloneSegment(join(from, name), join(to, name), method);
    syncDirectory(to);
    used.push(id);
  }
  return used;
}

function cloneSegment(from: string, to: string, method: SnapshotMethod): void {
  const source = must(openFile(from, OpenFlag.RDONLY), `opening ${from}`);
  try {
    const flags = OpenFlag.RDWR | OpenFlag.CREAT | OpenFlag.EXCL;
    const target = must(openFile(to, flags), `creating ${to}`);
    try {
      if (method === 'reflink') must(cloneFile(source, target), `cloning ${from}`);
      else copyData(source, target, from);
      must(fsync(target), `fsync of ${to}`);
    } finally {
      closeFile(target);
    }
  } finally {
    closeFile(source);
  }
}

/** A real copy that keeps holes: what a thin volume has not written stays unwritten. */
function copyData(source: number, target: number, name: string): void {
  const size = must(seekEnd(source), `size of ${name}`);
  must(ftruncate(target, size), `extending the copy of ${name}`);
  let position = 0;
  for (;;) {
    const data = seekData(source, position);
    if (data === -Errno.ENXIO) return;
    must(data, `looking for data in ${name}`);
    const end = must(seekHole(source, data), `looking for a hole in ${name}`);
    position = data;
    while (position < end) {
      const length = Math.min(copyPieceBytes, end - position);
      const copied = must(copyRange(source, target, position, length), `copying ${name}`);
      if (copied === 0) throw new Error(`${name} became shorter while it was copied`);
      position += copied;
    }
  }
}
