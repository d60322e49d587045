import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { packageDirectories } from './contents.js';
import { nodeCommand, programCommand, runOnHost, runtimeOf } from './layout.js';

describe('packages with all that they depend on', () => {
  let root: string;
  beforeEach(() => (root = mkdtempSync(join(tmpdir(), 'px-packages-'))));
  afterEach(() => rmSync(root, { recursive: true }));

  function put(path: string, manifest: object): void {
    mkdirSync(join(root, path), { recursive: true });
    writeFileSync(join(root, path, 'package.json'), JSON.stringify(manifest));
  }
  const found = (...names: string[]) =>
    packageDirectories(root, names)
      .map((path) => path.slice(root.length + 1))
      .sort();

  test('nested versions, cycles and builds for other platforms', () => {
    put('node_modules/a', { dependencies: { b: '1', '@s/c': '1' } });
    put('node_modules/a/node_modules/b', { dependencies: { d: '1' } });
    put('node_modules/b', {});
    put('node_modules/@s/c', { optionalDependencies: { 'c-other': '1', 'c-here': '1' } });
    put('node_modules/c-here', {});
    put('node_modules/d', { dependencies: { a: '1' } });
    put('node_modules/unused', {});
    expect(found('a')).toEqual([
      'node_modules/@s/c',
      'node_modules/a',
      'node_modules/a/node_modules/b',
      'node_modules/c-here',
      'node_modules/d',
    ]);
  });

  test('one that is away is named', () => {
    put('node_modules/a', { dependencies: { gone: '1' } });
    expect(() => found('a')).toThrow('the package gone');
  });
});

describe('programs of a runtime', () => {
  const loader = '/r/1.0-a/lib/px-ld.so';
  const prefix = [loader, '--inhibit-cache', '--library-path', '/r/1.0-a/lib'];

  test('are run by its loader, also by a process that was', () => {
    expect(programCommand('/r/1.0-a', 'node')).toEqual([...prefix, '/r/1.0-a/bin/node']);
    expect(runtimeOf(loader)).toBe('/r/1.0-a');
    expect(nodeCommand(loader)).toEqual([...prefix, '/r/1.0-a/bin/node']);
    expect(nodeCommand('/usr/bin/node')).toEqual(['/usr/bin/node']);
  });

  test('of what the holder runs, those that the runtime has come from there', async () => {
    const commands: string[][] = [];
    const run = runOnHost(loader, (file, args) => {
      commands.push([file, ...args]);
      return Promise.resolve({ exitCode: 0, stdout: '', stderr: '' });
    });
    await run('losetup', ['-l'], { timeoutMs: 1 });
    await run('modprobe', ['nbd'], { timeoutMs: 1 });
    expect(commands).toEqual([
      [...prefix, '/r/1.0-a/bin/losetup', '-l'],
      ['modprobe', 'nbd'],
    ]);
  });
});
