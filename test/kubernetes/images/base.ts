import { existsSync } from 'node:fs';
import { cp, mkdir, readdir, rename, rm, symlink, writeFile } from 'node:fs/promises';
import path from 'node:path';
import { findCommand, run } from '../../../tools/lib/run.js';
import { keyOf } from './content-key.js';
import { runContained } from './contained.js';
import { layerOf, writeArchive, type Layer } from './docker-archive.js';
import { archiveOf, freshDir, type ImagePaths } from './paths.js';

const suite = 'bookworm';
/** The current long-term release of Node; its program comes as an npm package. */
const nodeVersion = '24.21.0';
const npmVersion = '11.21.2';
/** Changes when what is done with the packages changes. */
const recipe = 2;

const debootstrapTimeoutMs = 10 * 60_000;
const packTimeoutMs = 5 * 60_000;

/** The two bases of the Dockerfiles, named as their archives name them. */
export interface BaseImages {
  readonly key: string;
  readonly debian: BaseImage;
  readonly node: BaseImage;
}

export interface BaseImage {
  readonly tag: string;
  readonly archive: string;
}

/**
 * Debian's minimal root file system and the same with Node on top: what
 * `debian:bookworm-slim` and `node:24-bookworm-slim` are where a registry is reachable.
 */
export async function buildBase(
  paths: ImagePaths,
  say: (text: string) => void,
): Promise<BaseImages> {
  const key = keyOf([suite, nodeVersion, npmVersion, process.arch, String(recipe)]);
  const debian = {
    tag: `localhost/px-base/debian:${suite}-${key}`,
    archive: archiveOf(paths, 'base-debian', key),
  };
  const node = {
    tag: `localhost/px-base/node:24-${suite}-${key}`,
    archive: archiveOf(paths, 'base-node', key),
  };
  if (!existsSync(debian.archive) || !existsSync(node.archive)) {
    const layers = await baseLayers(paths, say);
    const staging = path.join(paths.workDir, 'staging');
    await writeArchive(
      { tags: [debian.tag], config: configOf('bash'), layers: layers.slice(0, 1) },
      debian.archive,
      staging,
    );
    await writeArchive(
      { tags: [node.tag], config: configOf('node'), layers },
      node.archive,
      staging,
    );
  }
  return { key, debian, node };
}

function configOf(command: string) {
  const dirs = ['/usr/local/sbin', '/usr/local/bin', '/usr/sbin', '/usr/bin', '/sbin', '/bin'];
  return { Env: [`PATH=${dirs.join(':')}`], Cmd: [command] };
}

async function baseLayers(paths: ImagePaths, say: (text: string) => void): Promise<Layer[]> {
  const rootDir = await freshDir(path.join(paths.workDir, 'debian'));
  say(`making a root file system of Debian ${suite}`);
  if ((await findCommand('debootstrap')) === undefined) {
    throw new Error('the program debootstrap is missing: apt-get install debootstrap');
  }
  await runContained('debootstrap', ['--variant=minbase', suite, rootDir], {
    timeoutMs: debootstrapTimeoutMs,
  });
  await slim(rootDir);
  const debian = await layerOf(rootDir, path.join(paths.workDir, 'debian.tar'), {
    keepOwners: true,
    exclude: ['./dev/*', './proc/*', './sys/*', './run/*'],
  });
  say(`adding Node ${nodeVersion}`);
  const nodeDir = await freshDir(path.join(paths.workDir, 'node'));
  await addNode(nodeDir, path.join(paths.workDir, 'packages'));
  return [debian, await layerOf(nodeDir, path.join(paths.workDir, 'node.tar'))];
}

/** Removes what the slim images lack too, and what tells the day it was made. */
async function slim(rootDir: string): Promise<void> {
  const emptied = [
    'var/cache/apt',
    'var/lib/apt/lists',
    'var/log',
    'usr/share/doc',
    'usr/share/man',
    'usr/share/locale',
    'usr/share/info',
  ];
  for (const name of emptied) {
    const dir = path.join(rootDir, name);
    for (const entry of await readdir(dir)) {
      await rm(path.join(dir, entry), { recursive: true, force: true });
    }
  }
  for (const name of ['etc/resolv.conf', 'etc/hostname']) {
    await rm(path.join(rootDir, name), { force: true });
  }
  const dpkgRules = ['doc', 'man', 'locale', 'info']
    .map((name) => `path-exclude /usr/share/${name}/*\n`)
    .join('');
  await writeFile(path.join(rootDir, 'etc/dpkg/dpkg.cfg.d/px-slim'), dpkgRules);
}

async function addNode(rootDir: string, packagesDir: string): Promise<void> {
  const local = path.join(rootDir, 'usr/local');
  await mkdir(path.join(local, 'bin'), { recursive: true });
  await mkdir(path.join(local, 'lib/node_modules'), { recursive: true });
  // Configuration of the machine that builds is mounted here, and stays out of the image.
  await mkdir(path.join(local, 'etc'), { recursive: true });
  const node = await unpack(`node-linux-${process.arch}@${nodeVersion}`, packagesDir);
  await cp(path.join(node, 'bin/node'), path.join(local, 'bin/node'));
  const npm = await unpack(`npm@${npmVersion}`, packagesDir);
  await rename(npm, path.join(local, 'lib/node_modules/npm'));
  for (const name of ['npm', 'npx']) {
    const target = `../lib/node_modules/npm/bin/${name}-cli.js`;
    await symlink(target, path.join(local, 'bin', name));
  }
}

/** A published npm package's files, exactly those of the pinned version. */
async function unpack(spec: string, packagesDir: string): Promise<string> {
  await freshDir(packagesDir);
  await run('npm', ['pack', '--silent', '--pack-destination', packagesDir, spec], {
    timeoutMs: packTimeoutMs,
    cwd: packagesDir,
  });
  const [archive] = await readdir(packagesDir);
  if (archive === undefined) throw new Error(`npm pack ${spec} wrote no archive`);
  await run('tar', ['-C', packagesDir, '-xzf', path.join(packagesDir, archive)]);
  return path.join(packagesDir, 'package');
}
