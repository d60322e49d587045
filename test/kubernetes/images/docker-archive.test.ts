import { mkdtemp, mkdir, readFile, rm, utimes, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { run } from '../../../tools/lib/run.js';
import { layerOf, writeArchive } from './docker-archive.js';

describe('an archive for the container runtime', () => {
  let dir: string;
  beforeEach(async () => {
    dir = await mkdtemp(path.join(tmpdir(), 'px-archive-'));
  });
  afterEach(() => rm(dir, { recursive: true, force: true }));

  async function archive(name: string, mtime: Date): Promise<string> {
    const root = path.join(dir, `${name}-root`);
    await mkdir(path.join(root, 'bin'), { recursive: true });
    await writeFile(path.join(root, 'bin/tool'), 'content', { mode: 0o755 });
    await utimes(path.join(root, 'bin/tool'), mtime, mtime);
    const layer = await layerOf(root, path.join(dir, `${name}-layer.tar`));
    const file = path.join(dir, name, 'image.tar');
    const content = {
      tags: ['registry.example/a:1', 'registry.example/b:2'],
      config: { Entrypoint: ['/bin/tool'] },
      layers: [layer],
    };
    await writeArchive(content, file, path.join(dir, 'staging'));
    return file;
  }

  it('is the same, byte for byte, whenever its files were written', async () => {
    const first = await readFile(await archive('first', new Date(0)));
    const second = await readFile(await archive('second', new Date(1e12)));
    expect(first.equals(second)).toBe(true);
  });

  it('has every name, the configuration and the layers by their digests', async () => {
    const file = await archive('image', new Date());
    const member = async (name: string) => run('tar', ['-xOf', file, name]);
    const [image] = JSON.parse(await member('./manifest.json')) as {
      Config: string;
      RepoTags: string[];
      Layers: string[];
    }[];
    expect(image?.RepoTags).toEqual(['registry.example/a:1', 'registry.example/b:2']);
    const config = JSON.parse(await member(`./${image?.Config}`)) as {
      config: object;
      rootfs: { diff_ids: string[] };
    };
    expect(config.config).toEqual({ Entrypoint: ['/bin/tool'] });
    expect(config.rootfs.diff_ids.map((id) => `${id.slice('sha256:'.length)}.tar`)).toEqual(
      image?.Layers,
    );
    const layer = path.join(dir, 'layer.tar');
    await run('sh', ['-c', `tar -xOf "$0" "./${image?.Layers[0]}" > "$1"`, file, layer]);
    expect(await run('tar', ['-tf', layer])).toContain('./bin/tool');
    expect(`${(await run('sha256sum', [layer])).split(' ')[0]}.tar`).toBe(image?.Layers[0]);
  });
});
