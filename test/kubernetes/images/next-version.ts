import { mkdir, readFile, writeFile } from 'node:fs/promises';
import path from 'node:path';
import { run } from '../../../tools/lib/run.js';
import { layerOf, writeArchive, type ImageConfig } from './docker-archive.js';
import { freshDir } from './paths.js';

interface Manifest {
  readonly Config: string;
  readonly RepoTags: readonly string[];
  readonly Layers: readonly string[];
}

interface Configuration {
  readonly config: ImageConfig;
  readonly rootfs: { readonly diff_ids: readonly string[] };
}

export interface NextVersion {
  readonly rootDir: string;
  readonly archive: string;
  readonly version: string;
  /** Emptied first; the answer lies in it. */
  readonly workDir: string;
}

/**
 * The image of px as if it were of another release: the same programs, which
 * tell another version. So an upgrade can be tried before there is a release.
 */
export async function asNextVersion(options: NextVersion): Promise<string> {
  const { rootDir, version } = options;
  const workDir = await freshDir(options.workDir);
  await run('tar', ['-C', workDir, '-xf', options.archive]);
  const read = async (name: string): Promise<unknown> =>
    JSON.parse(await readFile(path.join(workDir, name), 'utf8'));
  const [image] = (await read('manifest.json')) as Manifest[];
  if (image === undefined) throw new Error(`${options.archive} holds no image`);
  const { config, rootfs } = (await read(image.Config)) as Configuration;
  const added = path.join(workDir, 'added');
  await mkdir(path.join(added, 'px'), { recursive: true });
  const text = await readFile(path.join(rootDir, 'package.json'), 'utf8');
  const manifest = { ...(JSON.parse(text) as object), version };
  await writeFile(path.join(added, 'px/package.json'), `${JSON.stringify(manifest, null, 2)}\n`);
  const layers = image.Layers.map((name, index) => ({
    file: path.join(workDir, name),
    sha256: (rootfs.diff_ids[index] ?? '').replace('sha256:', ''),
  }));
  layers.push(await layerOf(added, path.join(workDir, 'added.tar')));
  const tags = image.RepoTags.map((tag) => `${tag.slice(0, tag.lastIndexOf(':'))}:${version}`);
  const archive = path.join(workDir, 'next.tar');
  await writeArchive({ tags, config, layers }, archive, path.join(workDir, 'staging'));
  return archive;
}
