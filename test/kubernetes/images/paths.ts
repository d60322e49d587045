import { readdirSync, statSync } from 'node:fs';
import { mkdir, readdir, rm } from 'node:fs/promises';
import { homedir } from 'node:os';
import path from 'node:path';

/** Where the images and what they are made from lie, between runs. */
export interface ImagePaths {
  readonly rootDir: string;
  /** Holds programs of other parts of the suite too: `NAME-VERSION/bin/PROGRAM`. */
  readonly cacheDir: string;
  /** Finished archives, a folder for each content key. */
  readonly imagesDir: string;
  /** buildah's storage, with the cached layers. */
  readonly storageDir: string;
  /** Emptied at each start: what a killed run left is never taken for finished. */
  readonly workDir: string;
}

export function imagePaths(rootDir: string): ImagePaths {
  const cacheDir = path.join(process.env['XDG_CACHE_HOME'] ?? path.join(homedir(), '.cache'), 'px');
  const imagesDir = path.join(cacheDir, 'images');
  return {
    rootDir,
    cacheDir,
    imagesDir,
    storageDir: path.join(imagesDir, 'storage'),
    workDir: path.join(imagesDir, 'work'),
  };
}

/** How a caller finds a program that this suite builds from its Go modules. */
export type FindProgram = (name: string) => Promise<string>;

/** Looks where the suite's builder puts its programs; of several versions, in the newest. */
export function findInCache(paths: ImagePaths): FindProgram {
  return async (name) => {
    const found = readdirSync(paths.cacheDir, { withFileTypes: true })
      .filter((entry) => entry.isDirectory())
      .map((entry) => path.join(paths.cacheDir, entry.name, 'bin'))
      .filter((dir) => readdirOf(dir).includes(name))
      .sort((a, b) => a.localeCompare(b, 'en', { numeric: true }))
      .at(-1);
    if (found === undefined) {
      throw new Error(`no program "${name}" in ${paths.cacheDir}/*/bin: build it first`);
    }
    return path.join(found, name);
  };
}

function readdirOf(dir: string): string[] {
  try {
    return readdirSync(dir);
  } catch {
    return [];
  }
}

/** The archive of this content; a folder is renamed into place, so it is whole or absent. */
export function archiveOf(paths: ImagePaths, name: string, key: string): string {
  return path.join(paths.imagesDir, `${name}-${key}`, `${name}.tar`);
}

/** A px image of each change of the source would fill the disk: the newest few stay. */
export async function prune(paths: ImagePaths, name: string, keep: string): Promise<void> {
  const isOld = (entry: string): boolean =>
    entry.startsWith(`${name}-`) &&
    /^[0-9a-f]{16}$/.test(entry.slice(name.length + 1)) &&
    entry !== `${name}-${keep}`;
  const old = (await readdir(paths.imagesDir))
    .filter(isOld)
    .map((entry) => path.join(paths.imagesDir, entry))
    .sort((a, b) => statSync(b).mtimeMs - statSync(a).mtimeMs);
  for (const dir of old.slice(2)) await rm(dir, { recursive: true, force: true });
}

export async function freshDir(dir: string): Promise<string> {
  await rm(dir, { recursive: true, force: true });
  await mkdir(dir, { recursive: true });
  return dir;
}
