import { chmod, copyFile, mkdir, symlink, writeFile } from 'node:fs/promises';
import path from 'node:path';
import { findCommand, run } from '../../../tools/lib/run.js';
import { keyOf, programPart } from './content-key.js';
import { layerOf, type ImageConfig, type Layer } from './docker-archive.js';
import { freshDir, type FindProgram, type ImagePaths } from './paths.js';

/** An image that needs no builder: a few files in one or two layers. */
export interface SmallImage {
  readonly name: string;
  readonly tags: readonly string[];
  readonly config: ImageConfig;
  /** Put at this path into a layer of its own. */
  readonly program?: { readonly name: string; readonly path: string };
  /** The shell and the usual tools below the program. */
  readonly onBusybox: boolean;
}

const shellPath = 'PATH=/bin:/sbin:/usr/bin:/usr/sbin';

/**
 * As PID 1 of a pod that shares its processes the shell reaps the orphans while
 * it waits, and TERM ends it at once; a lone `sleep` would do neither.
 */
const pauseScript = 'trap "exit 0" TERM INT; while :; do sleep 2147483647 & wait $!; done';

function sidecar(name: string, version: string): SmallImage {
  return {
    name,
    tags: [`registry.k8s.io/sig-storage/${name}:${version}`],
    config: { Entrypoint: [`/${name}`] },
    program: { name, path: name },
    onBusybox: false,
  };
}

/**
 * The names are those that containerd, the kubelet and the storage suite of
 * Kubernetes 1.35 and 1.33 ask for; of nginx the suite only uses the shell.
 */
export const smallImages: readonly SmallImage[] = [
  {
    name: 'pause',
    tags: ['3.6', '3.9', '3.10', '3.10.1'].map((version) => `registry.k8s.io/pause:${version}`),
    config: { Env: [shellPath], Entrypoint: ['/bin/sh', '-c', pauseScript] },
    onBusybox: true,
  },
  {
    name: 'busybox',
    tags: [
      'registry.k8s.io/e2e-test-images/busybox:1.37.0-1',
      'registry.k8s.io/e2e-test-images/busybox:1.36.1-1',
      'docker.io/library/busybox:latest',
      'docker.io/library/busybox:1.36',
      'docker.io/library/busybox:1.37',
      'registry.k8s.io/e2e-test-images/nginx:1.14-4',
    ],
    config: { Env: [shellPath], Cmd: ['sh'] },
    onBusybox: true,
  },
  {
    name: 'agnhost',
    tags: ['2.53', '2.55', '2.56', '2.59'].map(
      (version) => `registry.k8s.io/e2e-test-images/agnhost:${version}`,
    ),
    config: { Env: [shellPath], Entrypoint: ['/agnhost'], Cmd: ['pause'] },
    program: { name: 'agnhost', path: 'agnhost' },
    onBusybox: true,
  },
  sidecar('csi-provisioner', 'v6.3.0'),
  sidecar('csi-attacher', 'v4.13.0'),
  sidecar('csi-resizer', 'v2.3.0'),
  sidecar('csi-snapshotter', 'v8.7.0'),
  sidecar('snapshot-controller', 'v8.7.0'),
];

/** Builds the layers of one image; the busybox layer is made once a run. */
export class SmallImageLayers {
  private readonly paths: ImagePaths;
  private readonly findProgram: FindProgram;
  private busybox: Promise<Layer> | undefined;

  constructor(paths: ImagePaths, findProgram: FindProgram) {
    this.paths = paths;
    this.findProgram = findProgram;
  }

  async keyOf(image: SmallImage): Promise<string> {
    const parts = ['2', JSON.stringify(image)];
    if (image.onBusybox) parts.push(await programPart(await busyboxProgram()));
    if (image.program !== undefined) {
      parts.push(await programPart(await this.findProgram(image.program.name)));
    }
    return keyOf(parts);
  }

  async layersOf(image: SmallImage): Promise<Layer[]> {
    const layers: Layer[] = [];
    if (image.onBusybox) layers.push(await (this.busybox ??= busyboxLayer(this.paths)));
    if (image.program !== undefined) {
      const dir = await freshDir(path.join(this.paths.workDir, image.name));
      const target = path.join(dir, image.program.path);
      await copyFile(await this.findProgram(image.program.name), target);
      await chmod(target, 0o755);
      layers.push(await layerOf(dir, path.join(this.paths.workDir, `${image.name}.tar`)));
    }
    return layers;
  }
}

async function busyboxProgram(): Promise<string> {
  const program = await findCommand('busybox');
  if (program === undefined) {
    throw new Error('the program busybox is missing: apt-get install busybox-static');
  }
  return program;
}

async function busyboxLayer(paths: ImagePaths): Promise<Layer> {
  const rootDir = await freshDir(path.join(paths.workDir, 'busybox'));
  const program = await busyboxProgram();
  await mkdir(path.join(rootDir, 'bin'));
  await copyFile(program, path.join(rootDir, 'bin/busybox'));
  await chmod(path.join(rootDir, 'bin/busybox'), 0o755);
  const applets = (await run(program, ['--list'])).split('\n').filter((name) => name !== '');
  // The name "bash" is asked for by a few tests that use nothing of it.
  for (const name of [...applets, 'bash']) {
    if (name === 'busybox') continue;
    await symlink('busybox', path.join(rootDir, 'bin', name));
  }
  await mkdir(path.join(rootDir, 'usr'));
  await symlink('bin', path.join(rootDir, 'sbin'));
  await symlink('../bin', path.join(rootDir, 'usr/bin'));
  await symlink('../bin', path.join(rootDir, 'usr/sbin'));
  for (const dir of ['dev', 'etc', 'home', 'mnt', 'proc', 'root', 'run', 'sys', 'tmp', 'var']) {
    await mkdir(path.join(rootDir, dir));
  }
  await chmod(path.join(rootDir, 'tmp'), 0o1777);
  await symlink('../run', path.join(rootDir, 'var/run'));
  await symlink('/tmp', path.join(rootDir, 'var/tmp'));
  await writeFile(
    path.join(rootDir, 'etc/passwd'),
    'root:x:0:0:root:/root:/bin/sh\n' +
      'nobody:x:65534:65534:nobody:/nonexistent:/bin/false\n' +
      'user-defined-in-image:x:1000:1000::/home:/bin/sh\n',
  );
  await writeFile(
    path.join(rootDir, 'etc/group'),
    'root:x:0:\nnogroup:x:65534:\ngroup-defined-in-image:x:50000:user-defined-in-image\n',
  );
  return layerOf(rootDir, path.join(paths.workDir, 'busybox.tar'));
}
