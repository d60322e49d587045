import { createHash } from 'node:crypto';
import { existsSync } from 'node:fs';
import { chmod, copyFile, mkdir, readFile, rm, symlink, writeFile } from 'node:fs/promises';
import path from 'node:path';
import { run } from '../../../tools/lib/run.js';

/** The image of every pod's sandbox; made here, as no registry is in reach. */
export const pauseImage = 'px.test/pause:1';
/** busybox' programs, for the cluster's own tests. */
export const busyboxImage = 'px.test/busybox:1';

/** A sandbox's process holds its namespaces, reaps orphans and goes when told to. */
const pauseScript = `#!/bin/sh
trap 'exit 0' TERM INT
while :; do sleep 86400 & wait $!; done
`;

/** Writes an image as "docker save" would, from Debian's busybox-static, with no daemon. */
export async function makeBaseImage(file: string): Promise<void> {
  if (existsSync(file)) return;
  const dir = `${file}.making`;
  await rm(dir, { recursive: true, force: true });
  const bin = path.join(dir, 'root/bin');
  await mkdir(bin, { recursive: true });
  for (const name of ['tmp', 'etc', 'proc', 'sys', 'dev']) {
    await mkdir(path.join(dir, 'root', name), { recursive: true });
  }
  await copyFile('/bin/busybox', path.join(bin, 'busybox'));
  const applets = (await run('/bin/busybox', ['--list'])).trim().split('\n');
  for (const applet of applets) {
    if (applet !== 'busybox') await symlink('busybox', path.join(bin, applet));
  }
  await writeFile(path.join(bin, 'pause'), pauseScript);
  await chmod(path.join(bin, 'pause'), 0o755);
  const stable = ['--sort=name', '--mtime=@0', '--owner=0', '--group=0', '--numeric-owner'];
  await run('tar', [
    ...stable,
    '-C',
    path.join(dir, 'root'),
    '-cf',
    path.join(dir, 'layer.tar'),
    '.',
  ]);
  const layer = await readFile(path.join(dir, 'layer.tar'));
  const config = JSON.stringify({
    architecture: process.arch === 'x64' ? 'amd64' : process.arch,
    os: 'linux',
    config: { Env: ['PATH=/bin'], Cmd: ['/bin/pause'] },
    rootfs: {
      type: 'layers',
      diff_ids: [`sha256:${createHash('sha256').update(layer).digest('hex')}`],
    },
  });
  await writeFile(path.join(dir, 'config.json'), config);
  const tags = [pauseImage, busyboxImage];
  const manifest = [{ Config: 'config.json', RepoTags: tags, Layers: ['layer.tar'] }];
  await writeFile(path.join(dir, 'manifest.json'), JSON.stringify(manifest));
  const parts = ['manifest.json', 'config.json', 'layer.tar'];
  await run('tar', [...stable, '-C', dir, '-cf', file, ...parts]);
  await rm(dir, { recursive: true, force: true });
}
