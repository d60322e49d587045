import { existsSync } from 'node:fs';
import { mkdtemp, readFile, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { run } from '../../../tools/lib/run.js';
import { buildModule } from '../build/programs.js';
import { buildImages } from './build-images.js';
import { runContained } from './contained.js';

const rootDir = path.resolve(__dirname, '../../..');
/** Of the compressed-free archive: more needs a reason, for each node stores it. */
const maxSizeBytes = 310e6;

function missing(): string[] {
  const search = `${process.env['PATH'] ?? ''}:/usr/sbin:/sbin`.split(':');
  const programs = ['buildah', 'debootstrap', 'flock', 'setpriv', 'unshare'];
  const absent = programs.filter((name) => !search.some((dir) => existsSync(path.join(dir, name))));
  if (process.getuid?.() !== 0) absent.push('root');
  // etcd, which the image carries, is built with it.
  if (![...search, '/usr/local/go/bin'].some((dir) => existsSync(path.join(dir, 'go')))) {
    absent.push('go');
  }
  return absent;
}

const absent = missing();
const suite = absent.length === 0 ? describe : describe.skip;
const reason = absent.length === 0 ? '' : ` (skipped: needs ${absent.join(', ')})`;

suite(`the image of px${reason}`, () => {
  let dir: string;
  let root: string;
  let sizeBytes: number;

  beforeAll(async () => {
    const say = (text: string): void => void process.stderr.write(`${text}\n`);
    const toolsDir = path.join(rootDir, 'test/kubernetes/tools');
    const { binDir } = await buildModule('etcd', { toolsDir, say });
    const findProgram = (name: string) => Promise.resolve(path.join(binDir, name));
    const [image] = await buildImages({ rootDir, only: ['px'], findProgram, say });
    if (image === undefined) throw new Error('no image was built');
    sizeBytes = image.sizeBytes;
    dir = await mkdtemp(path.join(tmpdir(), 'px-image-'));
    root = path.join(dir, 'root');
    const unpack =
      'mkdir "$1" "$2" && tar -C "$1" -xf "$0" && ' +
      'for layer in $(sed \'s/.*"Layers":\\[\\([^]]*\\)\\].*/\\1/; s/[",]/ /g\' "$1/manifest.json"); ' +
      'do tar -C "$2" -xpf "$1/$layer" || exit 1; done';
    await run('sh', ['-c', unpack, image.tar, path.join(dir, 'archive'), root], {
      timeoutMs: 60_000,
    });
  }, 1_800_000);

  afterAll(() => rm(dir, { recursive: true, force: true }), 120_000);

  /** As the numeric user that the pods of the operator and the controller run as. */
  const asUser = (...command: string[]): Promise<string> =>
    runContained('chroot', ['--userspec=65532:65532', root, ...command], {
      timeoutMs: 30_000,
      // This machine's certificates are not in the image.
      env: { NODE_EXTRA_CA_CERTS: '' },
    });

  it('runs each program as a user without rights', async () => {
    const text = await readFile(path.join(rootDir, 'package.json'), 'utf8');
    const { version } = JSON.parse(text) as { version: string };
    expect(await asUser('pxctl', '--version')).toContain(version);
    expect(await asUser('px-csi', '--version')).toContain(version);
    expect(await asUser('px-node', '--help')).toContain('px-node');
    expect(await asUser('px-operator', '--help')).toContain('px-operator');
    expect(await asUser('node', '--version')).toMatch(/^v24\./);
    expect(await asUser('etcd', '--version')).toContain('etcd Version: 3.6.');
  });

  it('has the programs that px-node and the node plugin execute', async () => {
    const names = ['mkfs.xfs', 'xfs_growfs', 'xfs_repair', 'mkfs.ext4', 'e2fsck', 'resize2fs'];
    const system = ['nsenter', 'blkid', 'losetup', 'mount', 'umount', 'fsfreeze', 'blockdev'];
    for (const name of [...names, ...system]) {
      expect(await asUser('sh', '-c', `command -v ${name}`)).toContain(name);
    }
    expect(await asUser('mkfs.xfs', '-V')).toContain('mkfs.xfs version');
  });

  it('calls the system through the library that koffi brings', async () => {
    const call =
      "const k = require('/px/node_modules/koffi');" +
      "console.log(k.load('libc.so.6').func('uint getuid()')());";
    expect((await asUser('node', '-e', call)).trim()).toBe('65532');
  });

  it('has nothing that only builds or tests, nothing unreadable, nothing of this machine', async () => {
    const absentFiles = [
      'usr/local/bin/npm',
      'usr/bin/gcc',
      'usr/bin/python3',
      'px/node_modules/typescript',
      'px/node_modules/jest',
      'px/src',
      'usr/local/etc/npmrc',
      'usr/local/etc/certificates.crt',
    ];
    expect(absentFiles.filter((file) => existsSync(path.join(root, file)))).toEqual([]);
    const find = (...args: string[]) => run('find', [path.join(root, 'px'), ...args]);
    expect(await find('-name', '*.test.js')).toBe('');
    expect(await find('-not', '-perm', '-o=r')).toBe('');
    expect(await find('-newermt', '1970-01-02', '-type', 'f')).toBe('');
    expect(sizeBytes).toBeLessThan(maxSizeBytes);
  });
});
