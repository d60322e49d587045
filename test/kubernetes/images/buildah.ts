import { existsSync } from 'node:fs';
import { copyFile, mkdir, readdir, rename, rm, writeFile } from 'node:fs/promises';
import path from 'node:path';
import { findCommand, tryRun } from '../../../tools/lib/run.js';
import type { BaseImage } from './base.js';
import { runContained } from './contained.js';
import { freshDir, type ImagePaths } from './paths.js';

const buildTimeoutMs = 15 * 60_000;
const callTimeoutMs = 120_000;
/** About thirty builds of changed sources; a build from nothing takes a minute. */
const maxCachedLayers = 400;

export interface BuildOptions {
  readonly dockerfile: string;
  readonly contextDir: string;
  readonly buildArgs: Readonly<Record<string, string>>;
  /** Fully qualified; the archive has it too. */
  readonly tag: string;
  readonly archive: string;
  readonly say: (text: string) => void;
}

/**
 * Debian's buildah, with a storage of its own, no daemon and no registry. Layers
 * stay in the storage: a change of the source repeats only the steps after it.
 */
export class Buildah {
  private readonly paths: ImagePaths;
  private readonly machineDir: string;

  private constructor(paths: ImagePaths, machineDir: string) {
    this.paths = paths;
    this.machineDir = machineDir;
  }

  static async open(paths: ImagePaths): Promise<Buildah> {
    if ((await findCommand('buildah')) === undefined) {
      throw new Error('the program buildah is missing: apt-get install buildah');
    }
    await dropOldLayers(paths.storageDir);
    const machineDir = await freshDir(path.join(paths.workDir, 'machine'));
    await writeMachineConfig(machineDir);
    const buildah = new Buildah(paths, machineDir);
    // Containers of a run that was killed; their mounts went with its namespaces.
    await buildah.call(['rm', '--all'], callTimeoutMs);
    return buildah;
  }

  private call(args: readonly string[], timeoutMs: number, onOutput?: (text: string) => void) {
    const storage = [
      ...['--root', path.join(this.paths.storageDir, 'root')],
      ...['--runroot', path.join(this.paths.workDir, 'run')],
      ...['--storage-driver', 'overlay'],
      ...['--registries-conf', path.join(this.machineDir, 'registries.conf')],
    ];
    return runContained('buildah', [...storage, ...args], {
      timeoutMs,
      env: { TMPDIR: this.paths.workDir, BUILDAH_ISOLATION: 'chroot' },
      ...(onOutput === undefined ? {} : { onOutput }),
    });
  }

  /** Makes a base available under its name. */
  async load(image: BaseImage): Promise<void> {
    const names = await this.call(['images', '--format', '{{.Name}}:{{.Tag}}'], callTimeoutMs);
    if (names.split('\n').includes(image.tag)) return;
    await this.call(['pull', ...this.policy(), `docker-archive:${image.archive}`], callTimeoutMs);
  }

  private policy(): string[] {
    return ['--signature-policy', path.join(this.machineDir, 'policy.json')];
  }

  async build(options: BuildOptions): Promise<void> {
    const args = Object.entries(options.buildArgs).flatMap(([name, value]) => [
      '--build-arg',
      `${name}=${value}`,
    ]);
    await this.call(
      [
        'build',
        ...this.policy(),
        ...['--layers', '--timestamp', '0', '--pull-never', '--format', 'oci'],
        ...['--isolation', 'chroot', '--network', 'host'],
        ...['--volume', `${path.join(this.machineDir, 'etc')}:/usr/local/etc:ro`],
        ...args,
        ...['--tag', options.tag, '--file', options.dockerfile, options.contextDir],
      ],
      buildTimeoutMs,
      (text) => {
        for (const line of text.split('\n')) if (/STEP \d+\/\d+/.test(line)) options.say(line);
      },
    );
    await this.save(options.tag, options.archive);
  }

  private async save(tag: string, archive: string): Promise<void> {
    const part = path.join(this.paths.workDir, 'saved.tar');
    await rm(part, { force: true });
    await this.call(
      ['push', ...this.policy(), tag, `docker-archive:${part}:${tag}`],
      callTimeoutMs,
    );
    await mkdir(path.dirname(archive), { recursive: true });
    await rename(part, archive);
  }
}

/** Nothing tells which cached layers are still of use, so that all go at once. */
async function dropOldLayers(storageDir: string): Promise<void> {
  const layers = await readdir(path.join(storageDir, 'root/overlay')).catch(() => []);
  if (layers.length > maxCachedLayers) await rm(storageDir, { recursive: true, force: true });
  await mkdir(storageDir, { recursive: true });
}

/**
 * What lets the builds reach the package registries as this machine does: its
 * certificates and its npm registry. Mounted while building, never in an image.
 */
async function writeMachineConfig(dir: string): Promise<void> {
  const etc = path.join(dir, 'etc');
  await mkdir(etc);
  const lines: string[] = [];
  const certificates = process.env['NODE_EXTRA_CA_CERTS'] ?? '';
  if (certificates !== '' && existsSync(certificates)) {
    await copyFile(certificates, path.join(etc, 'certificates.crt'));
    lines.push('cafile=/usr/local/etc/certificates.crt');
  }
  const registry = await tryRun('npm', ['config', 'get', 'registry']);
  if (registry.code === 0) lines.push(`registry=${registry.stdout.trim()}`);
  await writeFile(path.join(etc, 'npmrc'), `${lines.join('\n')}\n`);
  await writeFile(path.join(dir, 'registries.conf'), 'unqualified-search-registries = []\n');
  await writeFile(
    path.join(dir, 'policy.json'),
    JSON.stringify({ default: [{ type: 'insecureAcceptAnything' }] }),
  );
}
