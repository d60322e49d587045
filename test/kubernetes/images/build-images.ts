import { existsSync, readFileSync } from 'node:fs';
import { chmod, copyFile, mkdir } from 'node:fs/promises';
import path from 'node:path';
import { buildBase, type BaseImage, type BaseImages } from './base.js';
import { Buildah } from './buildah.js';
import { keyOf, programPart, sourceParts } from './content-key.js';
import { layerOf, sizeBytesOf, writeArchive } from './docker-archive.js';
import { holdLock } from './lock.js';
import {
  archiveOf,
  findInCache,
  freshDir,
  imagePaths,
  prune,
  type FindProgram,
  type ImagePaths,
} from './paths.js';
import { SmallImageLayers, smallImages, type SmallImage } from './small-images.js';

export interface BuildImagesOptions {
  /** The repository, where the Dockerfile lies. */
  readonly rootDir: string;
  /** Names as in `imageNames`; all by default. */
  readonly only?: readonly string[];
  /** Where agnhost, the sidecars and etcd are; the suite's cache by default. */
  readonly findProgram?: FindProgram;
  readonly say: (text: string) => void;
}

export interface BuiltImage {
  readonly name: string;
  /** For `ctr --namespace k8s.io images import`. */
  readonly tar: string;
  /** What the runtime will know it as. */
  readonly tags: readonly string[];
  readonly sizeBytes: number;
}

const builtNames = ['px', 'postgres', 'registry'] as const;

export const imageNames: readonly string[] = [
  ...smallImages.map((image) => image.name),
  ...builtNames,
];

/** Makes every image that the cluster needs, or takes it from the cache. */
export async function buildImages(options: BuildImagesOptions): Promise<readonly BuiltImage[]> {
  const only = options.only ?? imageNames;
  const unknown = only.filter((name) => !imageNames.includes(name));
  if (unknown.length > 0) {
    throw new Error(`no image ${unknown.join(', ')}: there are ${imageNames.join(', ')}`);
  }
  const paths = imagePaths(options.rootDir);
  await mkdir(paths.imagesDir, { recursive: true });
  const lock = await holdLock(path.join(paths.imagesDir, 'lock'), options.say);
  try {
    await freshDir(paths.workDir);
    return await new ImageBuilds(paths, options).build(only);
  } finally {
    await freshDir(paths.workDir);
    lock.release();
  }
}

class ImageBuilds {
  private readonly paths: ImagePaths;
  private readonly say: (text: string) => void;
  private readonly findProgram: FindProgram;
  private base: Promise<BaseImages> | undefined;
  private buildah: Promise<Buildah> | undefined;

  constructor(paths: ImagePaths, options: BuildImagesOptions) {
    this.paths = paths;
    this.say = options.say;
    this.findProgram = options.findProgram ?? findInCache(paths);
  }

  async build(only: readonly string[]): Promise<BuiltImage[]> {
    const built: BuiltImage[] = [];
    const small = new SmallImageLayers(this.paths, this.findProgram);
    for (const image of smallImages) {
      if (only.includes(image.name)) built.push(await this.buildSmall(image, small));
    }
    if (only.includes('px')) built.push(await this.buildPx());
    for (const [name, tag] of [
      ['postgres', 'docker.io/library/postgres:15-bookworm'],
      ['registry', 'docker.io/library/registry:2'],
    ] as const) {
      if (only.includes(name)) built.push(await this.buildContext(name, tag));
    }
    return built;
  }

  private async buildSmall(image: SmallImage, layers: SmallImageLayers): Promise<BuiltImage> {
    const key = await layers.keyOf(image);
    const tar = archiveOf(this.paths, image.name, key);
    if (!existsSync(tar)) {
      this.say(`image ${image.name}`);
      const content = { ...image, layers: await layers.layersOf(image) };
      await writeArchive(content, tar, path.join(this.paths.workDir, 'staging'));
    }
    return this.finished(image.name, key, image.tags);
  }

  private async finished(name: string, key: string, tags: readonly string[]): Promise<BuiltImage> {
    await prune(this.paths, name, key);
    const tar = archiveOf(this.paths, name, key);
    return { name, tar, tags, sizeBytes: await sizeBytesOf(tar) };
  }

  private bases(): Promise<BaseImages> {
    return (this.base ??= buildBase(this.paths, this.say));
  }

  private builder(): Promise<Buildah> {
    return (this.buildah ??= Buildah.open(this.paths));
  }

  private async buildPx(): Promise<BuiltImage> {
    const { rootDir } = this.paths;
    const base = await this.bases();
    const etcd = await this.findProgram('etcd');
    const files = ['Dockerfile', '.dockerignore', 'LICENSE', 'package.json', 'package-lock.json'];
    const parts = await sourceParts(
      rootDir,
      [...files, 'proto', 'src', 'tsconfig.json'],
      (name) => name === path.join('src', 'gen') || name.endsWith('.test.ts'),
    );
    const key = keyOf([base.key, await programPart(etcd), ...parts]);
    const tag = `docker.io/openpx/px:${versionOf(rootDir)}`;
    const archive = archiveOf(this.paths, 'px', key);
    if (!existsSync(archive)) {
      this.say('image px');
      const etcdImage = await this.etcdImage(etcd);
      const buildah = await this.builder();
      for (const image of [base.debian, base.node, etcdImage]) await buildah.load(image);
      await buildah.build({
        dockerfile: path.join(rootDir, 'Dockerfile'),
        contextDir: rootDir,
        buildArgs: {
          NODE_IMAGE: base.node.tag,
          BASE_IMAGE: base.debian.tag,
          ETCD_IMAGE: etcdImage.tag,
          VERSION: versionOf(rootDir),
        },
        tag,
        archive,
        say: this.say,
      });
    }
    return this.finished('px', key, [tag]);
  }

  /** An image with nothing but etcd in it, for the Dockerfile's first stage. */
  private async etcdImage(program: string): Promise<BaseImage> {
    const key = keyOf([await programPart(program)]);
    const dir = await freshDir(path.join(this.paths.workDir, 'etcd'));
    await mkdir(path.join(dir, 'usr/local/bin'), { recursive: true });
    await copyFile(program, path.join(dir, 'usr/local/bin/etcd'));
    await chmod(path.join(dir, 'usr/local/bin/etcd'), 0o755);
    const layer = await layerOf(dir, path.join(this.paths.workDir, 'etcd.tar'));
    const image = {
      tag: `localhost/px-base/etcd:${key}`,
      archive: path.join(this.paths.workDir, 'etcd-image.tar'),
    };
    await writeArchive(
      { tags: [image.tag], config: { Entrypoint: ['/usr/local/bin/etcd'] }, layers: [layer] },
      image.archive,
      path.join(this.paths.workDir, 'staging'),
    );
    return image;
  }

  private async buildContext(name: string, tag: string): Promise<BuiltImage> {
    const base = await this.bases();
    const relative = path.join('test/kubernetes/images/context', name);
    const contextDir = path.join(this.paths.rootDir, relative);
    const parts = await sourceParts(this.paths.rootDir, [relative], () => false);
    const key = keyOf([base.key, ...parts]);
    const archive = archiveOf(this.paths, name, key);
    if (!existsSync(archive)) {
      this.say(`image ${name}`);
      const buildah = await this.builder();
      await buildah.load(base.debian);
      await buildah.build({
        dockerfile: path.join(contextDir, 'Dockerfile'),
        contextDir,
        buildArgs: { BASE_IMAGE: base.debian.tag },
        tag,
        archive,
        say: this.say,
      });
    }
    return this.finished(name, key, [tag]);
  }
}

function versionOf(rootDir: string): string {
  const text = readFileSync(path.join(rootDir, 'package.json'), 'utf8');
  return (JSON.parse(text) as { version: string }).version;
}
