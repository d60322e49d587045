import { createHash } from 'node:crypto';
import { createReadStream } from 'node:fs';
import { link, mkdir, rename, rm, stat, writeFile } from 'node:fs/promises';
import path from 'node:path';
import { pipeline } from 'node:stream/promises';
import { run } from '../../../tools/lib/run.js';

/** One layer as an uncompressed tar file with its digest. */
export interface Layer {
  readonly file: string;
  readonly sha256: string;
}

/** The part of the image's configuration that a runtime reads. */
export interface ImageConfig {
  readonly Env?: readonly string[];
  readonly Entrypoint?: readonly string[];
  readonly Cmd?: readonly string[];
  readonly User?: string;
  readonly WorkingDir?: string;
}

const tarTimeoutMs = 120_000;
/** Equal content gives an equal digest: order, owner and time do not depend on the machine. */
const reproducible = ['--sort=name', '--mtime=@0', '--owner=0', '--group=0', '--numeric-owner'];

export interface LayerOptions {
  /** Owners inside the folder mean something (a whole root file system). */
  readonly keepOwners?: boolean;
  readonly exclude?: readonly string[];
}

export async function layerOf(
  dir: string,
  file: string,
  options: LayerOptions = {},
): Promise<Layer> {
  const order = options.keepOwners === true ? ['--sort=name', '--mtime=@0'] : reproducible;
  const exclude = (options.exclude ?? []).map((pattern) => `--exclude=${pattern}`);
  const args = [...order, '--numeric-owner', ...exclude, '-C', dir, '-cf', file, '.'];
  await run('tar', args, { timeoutMs: tarTimeoutMs });
  return { file, sha256: await sha256Of(file) };
}

async function sha256Of(file: string): Promise<string> {
  const hash = createHash('sha256');
  await pipeline(createReadStream(file), hash);
  return hash.digest('hex');
}

export interface ArchiveContent {
  readonly tags: readonly string[];
  readonly config: ImageConfig;
  readonly layers: readonly Layer[];
}

/** The metadata of a Docker archive, pure: manifest.json and the configuration's file. */
export function archiveMetadata(content: ArchiveContent, architecture: string) {
  const config = JSON.stringify({
    architecture,
    os: 'linux',
    created: '1970-01-01T00:00:00Z',
    config: content.config,
    rootfs: { type: 'layers', diff_ids: content.layers.map((layer) => `sha256:${layer.sha256}`) },
    history: content.layers.map(() => ({ created: '1970-01-01T00:00:00Z', created_by: 'px' })),
  });
  const configName = `${createHash('sha256').update(config).digest('hex')}.json`;
  const manifest = JSON.stringify([
    {
      Config: configName,
      RepoTags: content.tags,
      Layers: content.layers.map((layer) => `${layer.sha256}.tar`),
    },
  ]);
  return { config, configName, manifest };
}

/**
 * Writes an archive that `ctr images import` and buildah read. The file appears
 * under its name only when it is whole; `stagingDir` is on the same file system.
 */
export async function writeArchive(
  content: ArchiveContent,
  file: string,
  stagingDir: string,
): Promise<void> {
  const metadata = archiveMetadata(content, process.arch === 'x64' ? 'amd64' : process.arch);
  await rm(stagingDir, { recursive: true, force: true });
  await mkdir(stagingDir, { recursive: true });
  await writeFile(path.join(stagingDir, metadata.configName), metadata.config);
  await writeFile(path.join(stagingDir, 'manifest.json'), metadata.manifest);
  for (const layer of content.layers) {
    await link(layer.file, path.join(stagingDir, `${layer.sha256}.tar`));
  }
  const whole = `${stagingDir}.tar`;
  await run('tar', [...reproducible, '-C', stagingDir, '-cf', whole, '.'], {
    timeoutMs: tarTimeoutMs,
  });
  await mkdir(path.dirname(file), { recursive: true });
  await rename(whole, file);
  await rm(stagingDir, { recursive: true, force: true });
}

export async function sizeBytesOf(file: string): Promise<number> {
  return stat(file).then(
    (status) => status.size,
    () => 0,
  );
}
